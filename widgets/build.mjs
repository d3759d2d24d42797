// Bundles every panel folder (one that has an index.ts or index.tsx) to <outdir>/<folder>.js and .css, and plotly.js
// to <outdir>/plotly.js. The output is committed, so that installing ShadowNB never needs node; a test rebuilds it
// and compares byte for byte.
//
//   node build.mjs [--outdir PATH] [--only run,chat] [--watch]
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import * as esbuild from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const { values: options } = parseArgs({
  options: {
    outdir: { type: "string", default: join(here, "..", "shadownb", "static") },
    only: { type: "string" },
    watch: { type: "boolean", default: false },
  },
});
const outdir = resolve(options.outdir);

function versionOf(name) {
  return JSON.parse(readFileSync(join(here, "node_modules", name, "package.json"), "utf8")).version;
}

// Both libraries are MIT: their notices travel with the code.
const plotlyNotice = readFileSync(join(here, "node_modules/plotly.js-basic-dist-min/plotly-basic.min.js"), "utf8")
  .split("*/")[0]
  .replace("/**", "/*!");
const preactNotice = `/*! Contains preact ${versionOf("preact")}, copyright (c) 2015-present Jason Miller, MIT license */`;
const plotlyVersion = versionOf("plotly.js-basic-dist-min");

function entryOf(folder) {
  return ["index.tsx", "index.ts"].map((name) => join(here, folder, name)).find(existsSync);
}

const wanted = options.only?.split(",");
const panels = readdirSync(here, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entryOf(entry.name) !== undefined)
  .map((entry) => entry.name)
  .filter((name) => wanted === undefined || wanted.includes(name))
  .sort();

const shared = {
  absWorkingDir: here,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  charset: "utf8",
  legalComments: "inline",
  logLevel: "warning",
};

const contexts = panels.map((name) =>
  esbuild.context({
    ...shared,
    entryPoints: { [name]: entryOf(name) },
    outdir,
    banner: name === "runtime" ? {} : { js: preactNotice },
    jsx: "automatic",
    jsxImportSource: "preact",
    // Front ends with RequireJS on the page must not have a bundled library register itself there.
    define: { "define.amd": "false", __PLOTLY_VERSION__: JSON.stringify(plotlyVersion) },
  }),
);
if (wanted === undefined || wanted.includes("plotly")) {
  contexts.push(
    esbuild.context({
      ...shared,
      entryPoints: { plotly: join(here, "runtime", "plotly-entry.js") },
      outdir,
      banner: { js: `${plotlyNotice}*/` },
      define: { "define.amd": "false" },
    }),
  );
}

for (const context of await Promise.all(contexts)) {
  if (options.watch) {
    await context.watch();
  } else {
    await context.rebuild();
    await context.dispose();
  }
}
if (options.watch) {
  console.log(`watching ${panels.join(", ")} -> ${outdir}`);
}
