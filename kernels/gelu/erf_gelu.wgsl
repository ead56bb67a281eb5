// x · Φ(x) with Φ(x) = (1 + erf(x / √2)) / 2, the normal distribution.
// Near zero erf is z + z · p(z²) / q(z²) as in FreeBSD's s_erff.c (error below 2^-31); elsewhere erfc is
// t · exp(−z² + c(t)), t = 2 / (2 + z), with the Chebyshev fit of Numerical Recipes, erfcc (relative error below 1.2e-7).
fn activation(x: Element) -> Element {
  let z = abs(x) * 0.70710678118654752;

  let s = min(z * z, Element(0.72));
  let p = Element(1.28379166e-01) + s * (Element(-3.36030394e-01) + s * -1.86260219e-03);
  let q = Element(1.0) + s * (Element(3.12324286e-01) + s * (Element(2.16070302e-02) + s * -1.98859419e-03));
  let near = Element(1.0) - (z + z * p / q);

  let w = min(z, Element(9.0)); // beyond, erfc is below what f32 holds
  let t = Element(2.0) / (Element(2.0) + w);
  var c = Element(0.17087277);
  c = Element(-0.82215223) + t * c;
  c = Element(1.48851587) + t * c;
  c = Element(-1.13520398) + t * c;
  c = Element(0.27886807) + t * c;
  c = Element(-0.18628806) + t * c;
  c = Element(0.09678418) + t * c;
  c = Element(0.37409196) + t * c;
  c = Element(1.00002368) + t * c;
  c = Element(-1.26551223) + t * c;
  let far = t * exp(c - w * w);

  let tail = 0.5 * select(far, near, z < Element(0.84375)); // erfc(z) / 2
  return x * select(tail, Element(1.0) - tail, x > Element());
}
