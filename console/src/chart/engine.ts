// The chart library with its styles: a chunk of its own, loaded with the first chart.

import "uplot/dist/uPlot.min.css";

export { default } from "uplot";
