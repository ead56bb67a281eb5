/** Runs before a task: the GPU is lost shortly after the page's server began to listen. */
let device: GPUDevice | undefined;
const request = GPUAdapter.prototype.requestDevice;
GPUAdapter.prototype.requestDevice = async function (...args) {
  return device = await request.apply(this, args);
};
const serve = Deno.serve as (...args: unknown[]) => unknown;
Object.assign(Deno, {
  serve: (...args: unknown[]) => {
    setTimeout(() => device?.destroy(), 500);
    return serve(...args);
  },
});
