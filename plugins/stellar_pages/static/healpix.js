// HEALPix in the nested scheme (Gorski et al. 2005, ApJ 622, 759; the names follow the C++ library's healpix_base).
// Pixels are 32-bit numbers here, so orders go to 13.
"use strict";

export const MAX_ORDER = 13;
const RING = [2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4]; // of each base pixel's southern corner, from the north
const LONGITUDE = [1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7]; // of its centre, in eighths of a turn
const TWO_THIRDS = 2 / 3, HALF_PI = Math.PI / 2, DEG = 180 / Math.PI;

function spread(v) {
  v = (v | (v << 8)) & 0x00ff00ff;
  v = (v | (v << 4)) & 0x0f0f0f0f;
  v = (v | (v << 2)) & 0x33333333;
  return (v | (v << 1)) & 0x55555555;
}

function gather(v) {
  v &= 0x55555555;
  v = (v | (v >>> 1)) & 0x33333333;
  v = (v | (v >>> 2)) & 0x0f0f0f0f;
  v = (v | (v >>> 4)) & 0x00ff00ff;
  return (v | (v >>> 8)) & 0x0000ffff;
}

export const pixelsOf = (order) => 12 * 4 ** order;
export const areaDeg2 = (order) => (4 * Math.PI * DEG * DEG) / pixelsOf(order);

/** The pixel that a unit vector points into. */
export function vectorToPixel(order, x, y, z) {
  const side = 1 << order, above = Math.abs(z);
  let turn = Math.atan2(y, x) / HALF_PI;
  if (turn < 0) turn += 4;
  if (turn >= 4) turn -= 4;
  let face, ix, iy;
  if (above <= TWO_THIRDS) { // equatorial belt
    const across = side * (0.5 + turn), up = side * z * 0.75;
    const ascending = Math.floor(across - up), descending = Math.floor(across + up);
    const p = ascending >> order, m = descending >> order;
    face = p === m ? p | 4 : p < m ? p : m + 8;
    ix = descending & (side - 1);
    iy = side - (ascending & (side - 1)) - 1;
  } else { // polar caps; sqrt(3 (1 - |z|)) without loss at the pole
    const quarter = Math.min(3, Math.floor(turn)), within = turn - quarter;
    const depth = side * Math.sqrt((3 * (x * x + y * y)) / (1 + above));
    const ascending = Math.min(side - 1, Math.floor(within * depth)), descending = Math.min(side - 1, Math.floor((1 - within) * depth));
    if (z >= 0) { face = quarter; ix = side - descending - 1; iy = side - ascending - 1; } else { face = quarter + 8; ix = ascending; iy = descending; }
  }
  return face * side * side + spread(ix) + 2 * spread(iy);
}

/** The pixel at a position in degrees. */
export function positionToPixel(order, lon, lat) {
  const cosine = Math.cos(lat / DEG);
  return vectorToPixel(order, cosine * Math.cos(lon / DEG), cosine * Math.sin(lon / DEG), Math.sin(lat / DEG));
}

/** Longitude and latitude (degrees) of a point in a base pixel; x runs to the north-east, y to the north-west, 0 to 1. */
function pointIn(face, x, y) {
  const ring = RING[face] - x - y;
  const cap = ring < 1 ? ring : ring > 3 ? 4 - ring : 1;
  const depth = (cap * cap) / 3; // 1 - |z| in the caps
  const lat = ring < 1 || ring > 3
    ? Math.sign(2 - ring) * Math.atan2(1 - depth, Math.sqrt(depth * (2 - depth)))
    : Math.asin(((2 - ring) * 2) / 3);
  let eighths = LONGITUDE[face] * cap + x - y;
  if (eighths < 0) eighths += 8;
  return [cap < 1e-15 ? 0 : ((45 * eighths) / cap) % 360, lat * DEG];
}

function faceOf(order, pixel) {
  if (!(order >= 0 && order <= MAX_ORDER && pixel >= 0 && pixel < pixelsOf(order))) throw new RangeError(`no pixel ${order}/${pixel}`);
  const side = 1 << order, face = Math.floor(pixel / (side * side)), within = pixel - face * side * side;
  return { side, face, ix: gather(within), iy: gather(within >>> 1) };
}

export function centre(order, pixel) {
  const { side, face, ix, iy } = faceOf(order, pixel);
  return pointIn(face, (ix + 0.5) / side, (iy + 0.5) / side);
}

/** The edge of a pixel as a closed ring of [lon, lat], `step` points a side, from the northern corner westwards. */
export function boundary(order, pixel, step = 1) {
  const { side, face, ix, iy } = faceOf(order, pixel), ring = [];
  for (let i = 0; i < step; i++) ring.push(pointIn(face, (ix + 1 - i / step) / side, (iy + 1) / side));
  for (let i = 0; i < step; i++) ring.push(pointIn(face, ix / side, (iy + 1 - i / step) / side));
  for (let i = 0; i < step; i++) ring.push(pointIn(face, (ix + i / step) / side, iy / side));
  for (let i = 0; i < step; i++) ring.push(pointIn(face, (ix + 1) / side, (iy + i / step) / side));
  ring.push(ring[0]);
  return ring;
}
