/** Grids of workgroups. */

/** The most workgroups in one dimension that every WebGPU device takes. */
const MOST = 65535;

/**
 * Workgroups for `count` invocations in a row, folded into y where x alone does not suffice.
 * A kernel finds its place with `(group.y * groups.x + group.x) * WORKGROUP + local` and must skip places from `count` on.
 *
 * @param count invocations
 * @param workgroup invocations of a workgroup
 * @returns workgroups in x and y; `[0, 1]` when there is nothing to do
 * @throws {RangeError} when even the folded grid is too large
 */
export function grid1d(count: number, workgroup: number): [number, number] {
  const groups = Math.ceil(count / workgroup);
  const y = Math.max(1, Math.ceil(groups / MOST));
  if (y > MOST) throw new RangeError(`${count} invocations in workgroups of ${workgroup} are too many for one dispatch; split the tensor`);
  return [Math.ceil(groups / y), y];
}
