// Airflow's theme is a class of its own document; alone in a tab, the system's is taken. Before anything is painted.
"use strict";
(() => {
  const dark = () => {
    try {
      const classes = window.parent !== window && window.parent.document.documentElement.classList;
      if (classes && (classes.contains("dark") || classes.contains("light"))) return classes.contains("dark");
    } catch { /* framed by another origin: not ours to ask */ }
    return window.matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const show = () => { document.documentElement.dataset.theme = dark() ? "dark" : "light"; };
  show();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  try {
    if (window.parent !== window) {
      document.documentElement.classList.add("framed");
      new MutationObserver(show).observe(window.parent.document.documentElement, { attributeFilter: ["class"] });
    }
  } catch { /* as above */ }
})();
