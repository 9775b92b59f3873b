// Regions as users get them.
import type { NativeRegion } from '../../typings/native';
import type { Region } from './types';

/** From pixels of the S x S map to pixels of the picture. */
export function regionInPicture(
  r: NativeRegion,
  picture: { width: number; height: number },
  size: number,
): Region {
  const [sx, sy] = [picture.width / size, picture.height / size];
  // In a picture smaller than the map a box at the far edge would round to beyond it.
  const x = Math.min(Math.round(r.x * sx), picture.width - 1);
  const y = Math.min(Math.round(r.y * sy), picture.height - 1);
  const polygon: [number, number][] = [];
  for (let i = 0; i < r.polygon.length; i += 2) {
    polygon.push([Math.round(r.polygon[i]! * sx), Math.round(r.polygon[i + 1]! * sy)]);
  }
  return {
    box: {
      x,
      y,
      width: Math.max(1, Math.round((r.x + r.width) * sx) - x),
      height: Math.max(1, Math.round((r.y + r.height) * sy) - y),
    },
    area: Math.max(1, Math.round(r.area * sx * sy)),
    score: r.score,
    mean: r.mean,
    centroid: { x: r.cx * sx, y: r.cy * sy },
    polygon,
  };
}
