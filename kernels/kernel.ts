/** WGSL text → compute pipeline; bindings and parameters are found by their names in the text. */
import { WgslReflect } from "wgsl_reflect";
import type { Gpu } from "./gpu.ts";
import { withoutBodies } from "./wgsl_interface.ts";

/** What a kernel is made from. */
export interface KernelSource {
  /** Name in error messages and profiles. */
  label: string;
  /** WGSL text, or several that are joined (a storage type's loader in front of an op, for instance). */
  code: string | readonly string[];
  /** New values of the text's `const NAME: u32 = …;` declarations (also `f32`, `i32`, `bool`). */
  constants?: Readonly<Record<string, number | boolean>>;
}

/** A storage binding of a kernel. */
export interface KernelBinding {
  /** The variable's name in the WGSL text. */
  readonly name: string;
  /** Its `@binding`. */
  readonly binding: number;
  /** Whether the kernel writes it. */
  readonly writable: boolean;
}

interface Parameter {
  readonly offset: number;
  readonly type: string;
}

/** What `wgsl_reflect` tells of a variable (its own types do not reach this program). */
interface ReflectedVariable {
  readonly name: string;
  readonly binding: number;
  readonly access: string;
  readonly size: number;
  readonly members?: readonly { name: string; offset: number; type: { name: string } }[];
}

/** A compute pipeline with its bindings (`@group(0)`) and the members of its uniform `params` by name. */
export class Kernel {
  /** Name in error messages and profiles. */
  readonly label: string;
  /** The compiled pipeline. */
  readonly pipeline: GPUComputePipeline;
  /** Layout of group 0. */
  readonly layout: GPUBindGroupLayout;
  /** Storage bindings in the order of their numbers. */
  readonly bindings: readonly KernelBinding[];
  /** `@binding` of the uniform `params`, or -1. */
  readonly paramsBinding: number;
  /** Bytes of the uniform `params`, a multiple of 16. */
  readonly paramsBytes: number;
  readonly #parameters: ReadonlyMap<string, Parameter>;

  /** What tells two sources apart. */
  static key(source: KernelSource): string {
    return `${source.label}|${JSON.stringify(source.constants ?? {})}|${
      typeof source.code === "string" ? source.code : source.code.join("|")
    }`;
  }

  /** Compiles; use {@linkcode Gpu.kernel}, which keeps what it compiled. */
  constructor(gpu: Gpu, source: KernelSource) {
    this.label = source.label;
    const code = withConstants(source);
    const reflection = new WgslReflect(withoutBodies(code));
    const group = ((reflection.getBindGroups()[0] ?? []) as (ReflectedVariable | undefined)[]).filter((variable) => variable !== undefined);
    this.bindings = group.filter((variable) => variable.name !== "params")
      .map((variable) => ({ name: variable.name, binding: variable.binding, writable: variable.access === "read_write" }));
    const uniforms = reflection.uniforms as { name: string; binding: number; size: number; members: ReflectedVariable["members"] }[];
    const params = uniforms.find((variable) => variable.name === "params");
    this.paramsBinding = params?.binding ?? -1;
    this.paramsBytes = Math.ceil((params?.size ?? 0) / 16) * 16;
    this.#parameters = new Map((params?.members ?? []).map((member) => [member.name, { offset: member.offset, type: member.type.name }]));
    const { maxStorageBuffersPerShaderStage: most } = gpu.device.limits;
    if (this.bindings.length > most) {
      throw new Error(`${this.label} binds ${this.bindings.length} buffers; "${gpu.name}" allows ${most}. Use another adapter.`);
    }
    const visibility = GPUShaderStage.COMPUTE;
    this.layout = gpu.device.createBindGroupLayout({
      label: this.label,
      entries: [
        ...this.bindings.map(({ binding, writable }): GPUBindGroupLayoutEntry => ({
          binding,
          visibility,
          buffer: { type: writable ? "storage" : "read-only-storage" },
        })),
        ...(params ? [{ binding: params.binding, visibility, buffer: { type: "uniform" as const } }] : []),
      ],
    });
    this.pipeline = gpu.device.createComputePipeline({
      label: this.label,
      layout: gpu.device.createPipelineLayout({ label: this.label, bindGroupLayouts: [this.layout] }),
      compute: {
        module: gpu.device.createShaderModule({ label: this.label, code: withDirectives(gpu, code) }),
        entryPoint: reflection.entry.compute[0]?.name ?? "main",
      },
    });
    gpu.counters.pipelines++;
  }

  /**
   * The bytes of the uniform `params`.
   *
   * @throws {Error} when a member is missing or no member has that name
   */
  packParams(values: Readonly<Record<string, number>>, target: DataView): void {
    for (const name in values) {
      if (!this.#parameters.has(name)) throw new Error(`${this.label}: no parameter "${name}" in its WGSL`);
    }
    for (const [name, { offset, type }] of this.#parameters) {
      const value = values[name];
      if (value === undefined) throw new Error(`${this.label}: parameter "${name}" is missing`);
      if (type === "f32") target.setFloat32(offset, value, true);
      else if (type === "i32") target.setInt32(offset, value, true);
      else target.setUint32(offset, value, true);
    }
  }
}

/**
 * What an implementation by the letter of the specification wants in front of a text with subgroup operations; on its first line, so that
 * lines keep their numbers. Its uniformity analysis does not know that `subgroupMin` and its like give all lanes the same value.
 */
function withDirectives(gpu: Gpu, code: string): string {
  const directives = "enable subgroups; diagnostic(off, subgroup_uniformity);";
  return gpu.enablesSubgroups && /\bsubgroup(?=[A-Z])/.test(code) ? `${directives} ${code}` : code;
}

/** Puts new values into a text's `const` declarations. */
function withConstants(source: KernelSource): string {
  let code = typeof source.code === "string" ? source.code : source.code.join("\n");
  for (const [name, value] of Object.entries(source.constants ?? {})) {
    const declaration = new RegExp(`(const ${name}\\s*:\\s*(u32|i32|f32|bool)\\s*=\\s*)[^;]+;`);
    const type = code.match(declaration)?.[2];
    if (!type) throw new Error(`${source.label}: no "const ${name}" in its WGSL`);
    const text = type === "bool" ? String(Boolean(value)) : type === "f32" ? `f32(${value})` : `${value}${type[0]}`;
    code = code.replace(declaration, `$1${text};`);
  }
  return code;
}
