/** The program of a worker of {@linkcode PictureQueue}: processes one picture after the other. */
import { MaspError } from "../../errors.ts";
import type { WorkerAnswer, WorkerRequest } from "./picture_queue.ts";
import { PictureProcessor } from "./preprocess.ts";

const scope = self as unknown as {
  onmessage: (event: MessageEvent<WorkerRequest>) => void;
  postMessage: (answer: WorkerAnswer, transfer: Transferable[]) => void;
};

scope.onmessage = ({ data: { config, picture } }) => {
  try {
    const processed = new PictureProcessor(config).process(picture);
    scope.postMessage({ processed }, [processed.pixels.buffer as ArrayBuffer]);
  } catch (error) {
    scope.postMessage({ message: (error as Error).message, expected: error instanceof MaspError }, []);
  }
};
