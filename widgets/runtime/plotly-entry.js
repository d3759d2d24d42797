// The basic plotly.js bundle (scatter, bar, pie) as an ES module.
export { default } from "plotly.js-basic-dist-min";
