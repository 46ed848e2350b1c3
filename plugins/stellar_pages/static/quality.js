import { api, badge, count, main, table, told, when } from "./base.js";

const rows = await told(() => api("quality/gates"));
main.append(table([
  { key: "checked_at", title: "Checked", show: when },
  { key: "dataset", title: "Dataset" },
  { key: "passed", title: "Gate", show: (passed) => badge(passed ? "passed" : "failed") },
  { key: "failed", title: "Failed", numeric: true },
  { key: "expectations", title: "Expectations", numeric: true },
  { key: "rows_checked", title: "Rows", numeric: true, show: count },
], rows ?? [], { caption: "Newest gate reports" }));
