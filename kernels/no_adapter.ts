/** What to do where no adapter answers. */

/** The message, in which `chosen` says whether the caller chose the WebGPU implementation. */
export function noAdapterMessage({ chosen }: { chosen: boolean }): string {
  if (chosen) {
    return "The WebGPU implementation that was chosen finds no adapter. Dawn asks more of a driver than Deno's own WebGPU: the software drivers " +
      "of some systems are not enough. Install a Vulkan driver for your GPU, or leave --gpu dawn out.";
  }
  return "No WebGPU adapter answers. Install a Vulkan driver for your GPU, or the software driver " +
    "(Debian and Ubuntu: apt-get install mesa-vulkan-drivers libvulkan1), then run deno task check.";
}
