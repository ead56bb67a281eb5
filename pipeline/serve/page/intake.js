/** Ways in which a picture gets onto the page: chosen, dropped, pasted. */
import { byId } from "./dom.js";

/** @param {(files: File[]) => void} take told the files */
export function watchIntake(take) {
  const input = byId("file");
  input.addEventListener("change", () => {
    take([...input.files]);
    input.value = ""; // the same file can be chosen again
  });
  addEventListener("click", ({ target }) => target.closest?.("[data-choose]") && input.click());
  addEventListener("paste", (event) => {
    const files = [...event.clipboardData?.files ?? []];
    if (files.length === 0) return;
    event.preventDefault();
    take(files);
  });
  watchDrops(take);
}

function watchDrops(take) {
  const veil = byId("drop-veil");
  let depth = 0; // the pointer enters and leaves every element on its way
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => {
    if (!holdsFiles(event)) return;
    depth++;
    veil.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (holdsFiles(event) && --depth <= 0) veil.hidden = true;
  });
  addEventListener("dragover", (event) => holdsFiles(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    depth = 0;
    veil.hidden = true;
    if (!holdsFiles(event)) return;
    event.preventDefault();
    take([...event.dataTransfer.files]);
  });
}
