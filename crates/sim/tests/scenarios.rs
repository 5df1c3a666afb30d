//! Scenario files in the simulator.

use std::path::Path;

#[test]
fn scenario_files_pass_in_the_simulator() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scenarios");
    let scenarios = sim::scenario::load(&directory).expect("scenario files");
    assert!(!scenarios.is_empty(), "no scenarios in {}", directory.display());
    let mut failed = Vec::new();
    for scenario in &scenarios {
        if let Some(reason) = scenario.skipped_on("simulator") {
            println!("{} is skipped: {reason}", scenario.name);
        } else if let Err(differences) = scenario.run_in_simulator() {
            failed.push(format!("── {} ({})\n{differences}", scenario.name, scenario.about));
        }
    }
    let (count, all) = (failed.len(), scenarios.len());
    assert!(failed.is_empty(), "{count} of {all} scenarios failed:\n{}", failed.join("\n"));
}
