import { main, el } from "./base.js";

main.append(el("p", { class: "empty" }, "Nothing here."));
