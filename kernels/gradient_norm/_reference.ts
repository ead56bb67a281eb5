/** [norm of all numbers, min(1, maxNorm / (norm + 1e-6))]; factor 1 when maxNorm is 0. */
export function gradientNormReference(gradients: readonly ArrayLike<number>[], maxNorm: number): [number, number] {
  let sum = 0;
  for (const gradient of gradients) for (let i = 0; i < gradient.length; i++) sum += gradient[i] ** 2;
  const norm = Math.sqrt(sum);
  return [norm, maxNorm ? Math.min(1, maxNorm / (norm + 1e-6)) : 1];
}
