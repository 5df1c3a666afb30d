// Browser tests of the console, in one process: `npm test` in console/, or the step `console` of `cargo xtask test`.

import "./states.mjs";
import "./screens.mjs";
