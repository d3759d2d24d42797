/** The hidden runtime widget: carries plotly.js, gzipped in a trait, and evaluates it when the first chart asks. */
import type { AnyWidget } from "@anywidget/types";
import { offerPlotly, type Plotly } from "../lib/plotly";

async function unpack(source: DataView): Promise<string> {
  const bytes = new Uint8Array(source.buffer as ArrayBuffer, source.byteOffset, source.byteLength);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

async function evaluate(code: string): Promise<Plotly> {
  const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  try {
    const module = (await import(/* @vite-ignore */ url)) as { default: Plotly };
    return module.default;
  } finally {
    URL.revokeObjectURL(url);
  }
}

const widget: AnyWidget = {
  initialize({ model }) {
    offerPlotly(async () => evaluate(await unpack(model.get("source") as DataView)));
  },
  render() {},
};

export default widget;
