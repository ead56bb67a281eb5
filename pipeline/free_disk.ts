/** How much room a disk has. */
import { statfs } from "node:fs/promises";

/** Bytes that this user may still write where a folder lies; nothing where the system does not say, or may not be asked (`--allow-sys=statfs`). */
export async function freeDisk(dir: string): Promise<number | undefined> {
  try {
    const { bavail, bsize } = await statfs(dir);
    return bavail * bsize;
  } catch {
    return undefined;
  }
}
