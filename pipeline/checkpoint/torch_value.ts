import type { TensorArray, TensorData } from "./tensor_data.ts";

/** What a `torch.save` file may hold here: tensors, dicts of them, and plain values. */
export type TorchValue = TensorData | Map<string | number, TorchValue> | TorchValue[] | string | number | boolean | null;

/** Whether a value is a tensor. */
export function isTensor(value: unknown): value is TensorData {
  return typeof value === "object" && value !== null && "dtype" in value && ArrayBuffer.isView((value as { data?: TensorArray }).data);
}

/** What a value is, for messages: `a tensor F32 (5, 128)`, `a dict`, `None`, … */
export function describeTorchValue(value: unknown): string {
  if (isTensor(value)) return `a tensor ${value.dtype} (${value.shape.join(", ")})`;
  if (value instanceof Map) return "a dict";
  if (Array.isArray(value)) return "a list";
  return value === null || value === undefined ? "None" : `the ${typeof value} ${JSON.stringify(value)}`;
}
