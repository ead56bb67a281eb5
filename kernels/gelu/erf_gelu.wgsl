// x · Φ(x) with Φ(x) = (1 + erf(x / √2)) / 2, the normal distribution.
// Near zero erf is z + z · p(z²) / q(z²) as in FreeBSD's s_erff.c (error below 2^-31); elsewhere erfc is
// t · exp(−z² + c(t)), t = 2 / (2 + z), with the Chebyshev fit of Numerical Recipes, erfcc (relative error below 1.2e-7).
fn activation(x: f32) -> f32 {
  let z = abs(x) * 0.70710678118654752;

  let s = min(z * z, 0.72);
  let p = 1.28379166e-01 + s * (-3.36030394e-01 + s * -1.86260219e-03);
  let q = 1.0 + s * (3.12324286e-01 + s * (2.16070302e-02 + s * -1.98859419e-03));
  let near = 1.0 - (z + z * p / q);

  let w = min(z, 9.0); // beyond, erfc is below what f32 holds
  let t = 2.0 / (2.0 + w);
  var c = 0.17087277;
  c = -0.82215223 + t * c;
  c = 1.48851587 + t * c;
  c = -1.13520398 + t * c;
  c = 0.27886807 + t * c;
  c = -0.18628806 + t * c;
  c = 0.09678418 + t * c;
  c = 0.37409196 + t * c;
  c = 1.00002368 + t * c;
  c = -1.26551223 + t * c;
  let far = t * exp(c - w * w);

  let tail = 0.5 * select(far, near, z < 0.84375); // erfc(z) / 2
  return x * select(tail, 1.0 - tail, x > 0.0);
}
