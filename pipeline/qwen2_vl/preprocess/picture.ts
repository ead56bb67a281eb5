/** An RGB picture. */
export interface Picture {
  /** Rows from the top, pixels from the left, three bytes each: (height, width, 3). */
  data: Uint8Array;
  /** In pixels. */
  width: number;
  /** In pixels. */
  height: number;
}

/** Extent of a picture in pixels. */
export interface PictureSize {
  /** In pixels. */
  width: number;
  /** In pixels. */
  height: number;
}
