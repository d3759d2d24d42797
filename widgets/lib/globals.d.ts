/** Version of the plotly.js that was bundled; set by build.mjs. */
declare const __PLOTLY_VERSION__: string;

declare module "*.css";
