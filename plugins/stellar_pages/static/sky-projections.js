// Maps of the sphere: d3's projections for lines, and the same backwards for every pixel of a picture.
"use strict";

const SQRT2 = Math.SQRT2, DEG = 180 / Math.PI;

// Mollweide: Calabretta & Greisen 2002 (A&A 395, 1077), section 5.3.1 (MOL); theta by Newton's method.
function mollweideRaw(lambda, phi) {
  let theta = phi;
  for (let i = 0, step = 1; i < 30 && Math.abs(step) > 1e-10; i++) {
    const slope = 2 + 2 * Math.cos(2 * theta);
    step = slope < 1e-12 ? 0 : (2 * theta + Math.sin(2 * theta) - Math.PI * Math.sin(phi)) / slope;
    theta -= step;
  }
  return [((2 * SQRT2) / Math.PI) * lambda * Math.cos(theta), SQRT2 * Math.sin(theta)];
}
mollweideRaw.invert = (x, y) => {
  const theta = Math.asin(Math.max(-1, Math.min(1, y / SQRT2)));
  return [(Math.PI * x) / (2 * SQRT2 * Math.cos(theta)), Math.asin((2 * theta + Math.sin(2 * theta)) / Math.PI)];
};

// Hammer-Aitoff, the Aitoff of astronomers: the same, section 5.3.3 (AIT).
function aitoffRaw(lambda, phi) {
  const cosine = Math.cos(phi), k = Math.sqrt(2 / (1 + cosine * Math.cos(lambda / 2)));
  return [2 * k * cosine * Math.sin(lambda / 2), k * Math.sin(phi)];
}
aitoffRaw.invert = (x, y) => {
  const z = Math.sqrt(Math.max(0, 1 - (x / 4) ** 2 - (y / 2) ** 2));
  return [2 * Math.atan2(z * x, 2 * (2 * z * z - 1)), Math.asin(Math.max(-1, Math.min(1, z * y)))];
};

const ellipse = (x, y) => (x / (2 * SQRT2)) ** 2 + (y / SQRT2) ** 2 < 1;
const orthographicInvert = (x, y) => { const z = Math.sqrt(1 - x * x - y * y); return [Math.atan2(x, z), Math.asin(y)]; };

/** The first is shown where none is asked for: unlike Mollweide's, its middle is not stretched. Name -> title, d3's projection, its formula backwards, where it is defined, and the size of the whole map in units. */
export const PROJECTIONS = {
  aitoff: { title: "Aitoff", make: () => d3.geoProjection(aitoffRaw), invert: aitoffRaw.invert, holds: ellipse, size: [4 * SQRT2, 2 * SQRT2] },
  mollweide: { title: "Mollweide", make: () => d3.geoProjection(mollweideRaw), invert: mollweideRaw.invert, holds: ellipse, size: [4 * SQRT2, 2 * SQRT2] },
  globe: { title: "Globe", make: () => d3.geoOrthographic(), invert: orthographicInvert, holds: (x, y) => x * x + y * y < 1, size: [2, 2] },
};

// Rows of the matrix from equatorial (ICRS) to galactic coordinates: ESA 1997, The Hipparcos and Tycho Catalogues, eq. 1.5.11.
export const FRAMES = {
  equatorial: { title: "Equatorial", names: ["RA", "Dec"], matrix: [[1, 0, 0], [0, 1, 0], [0, 0, 1]] },
  galactic: { title: "Galactic", names: ["l", "b"], matrix: [
    [-0.0548755604162154, -0.873437090234885, -0.4838350155487132],
    [0.4941094278755837, -0.4448296299600112, 0.7469822444972189],
    [-0.8676661490190047, -0.1980763734312015, 0.4559837761750669]] },
};

export const vector = (lon, lat) => [Math.cos(lat / DEG) * Math.cos(lon / DEG), Math.cos(lat / DEG) * Math.sin(lon / DEG), Math.sin(lat / DEG)];
export const position = ([x, y, z]) => [((Math.atan2(y, x) * DEG) + 360) % 360, Math.atan2(z, Math.hypot(x, y)) * DEG];
const times = (m, v) => m.map((row) => row[0] * v[0] + row[1] * v[1] + row[2] * v[2]);
const transposed = (m) => m[0].map((_, i) => m.map((row) => row[i]));
const product = (a, b) => a.map((row) => transposed(b).map((column) => row[0] * column[0] + row[1] * column[1] + row[2] * column[2]));

export const toFrame = (frame, lon, lat) => position(times(FRAMES[frame].matrix, vector(lon, lat)));
export const fromFrame = (frame, lon, lat) => position(times(transposed(FRAMES[frame].matrix), vector(lon, lat)));

/** Matrix from the sky (equatorial) to the view, whose x axis looks at a centre given in the frame's coordinates, north up. */
export function viewMatrix(frame, [lon, lat]) {
  const cl = Math.cos(lon / DEG), sl = Math.sin(lon / DEG), cb = Math.cos(lat / DEG), sb = Math.sin(lat / DEG);
  return product([[cb * cl, cb * sl, sb], [-sl, cl, 0], [-sb * cl, -sb * sl, cb]], FRAMES[frame].matrix);
}

/** The three angles that make d3 rotate by a matrix. */
export function anglesOf(m) {
  return [Math.atan2(-m[0][1], m[0][0]) * DEG, -Math.asin(Math.max(-1, Math.min(1, m[0][2]))) * DEG, Math.atan2(-m[1][2], m[2][2]) * DEG];
}

/** View vectors of the pixels of a picture, Float32Array[3 n]; NaN outside of the map. East is to the left. */
export function pictureVectors(name, width, height, scale, size) {
  const { invert, holds } = PROJECTIONS[name], across = Math.ceil(width / size), down = Math.ceil(height / size);
  const found = new Float32Array(3 * across * down).fill(NaN);
  for (let j = 0, at = 0; j < down; j++) {
    const y = (height / 2 - (j + 0.5) * size) / scale;
    for (let i = 0; i < across; i++, at += 3) {
      const x = (width / 2 - (i + 0.5) * size) / scale;
      if (!holds(x, y)) continue;
      const [lambda, phi] = invert(x, y), cosine = Math.cos(phi);
      if (Math.abs(lambda) > Math.PI) continue;
      found[at] = cosine * Math.cos(lambda);
      found[at + 1] = cosine * Math.sin(lambda);
      found[at + 2] = Math.sin(phi);
    }
  }
  return { across, down, vectors: found };
}
