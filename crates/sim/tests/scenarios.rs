//! Every scenario file, in the simulator.

use std::path::Path;

#[test]
fn every_scenario_holds_in_the_simulator() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scenarios");
    let scenarios = sim::scenario::load(&directory).expect("scenario files");
    assert!(!scenarios.is_empty(), "there are scenarios in {}", directory.display());
    let mut broken = Vec::new();
    for scenario in &scenarios {
        if let Some(why) = scenario.skipped_on("simulator") {
            println!("{} is not for the simulator: {why}", scenario.name);
        } else if let Err(what) = scenario.run_in_simulator() {
            broken.push(format!("── {} ({})\n{what}", scenario.name, scenario.about));
        }
    }
    let (count, all) = (broken.len(), scenarios.len());
    assert!(broken.is_empty(), "{count} of {all} scenarios are broken:\n{}", broken.join("\n"));
}
