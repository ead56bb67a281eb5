/**
 * Variables that Linux lacks outside a desktop session. Deno's WebGPU looks at OpenGL, too, unless told to take Vulkan: that is hundreds of times
 * slower where it is taken, and its library now and then crashes a process that ends. Mesa's drivers complain without a folder for run-time files.
 */
const LINUX_VARIABLES = { DENO_WEBGPU_BACKEND: "vulkan", XDG_RUNTIME_DIR: "/tmp" };

/** Sets those that are not set; to be called before the first adapter is asked for. */
export function setLinuxVariables(): void {
  if (Deno.build.os !== "linux") return;
  for (const [name, value] of Object.entries(LINUX_VARIABLES)) if (!Deno.env.get(name)) Deno.env.set(name, value);
}
