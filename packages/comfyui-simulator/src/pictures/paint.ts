import { CELL, isDotSet } from "./font.ts";
import { type Picture, pictureOf, RASTER_EDGE, rasterSize } from "./Picture.ts";
import { type Colour, type Raster, setDot, setRun, solidRaster } from "./raster.ts";
import { seededNoise } from "./seededNoise.ts";

/** What a sampled picture shows. */
export interface Scene {
  readonly width: number;
  readonly height: number;
  /** The words in the picture: the positive prompt. */
  readonly text: string;
  /** Decides the colours. */
  readonly seed: number;
  /** A line in small print below: model, steps, frame. */
  readonly caption: string;
  /** 0 = finished, 1 = nothing but noise: how a preview looks on the way. */
  readonly noise?: number;
  /** Moves the shapes, for the frames of a video; in dots. */
  readonly shift?: number;
  readonly edge?: number;
}

/** The picture of a scene: bands, discs, the text in the middle. Few colours, so that it stays small as a file. */
export function paintScene(scene: Scene): Picture {
  return pictureOf(scene.width, scene.height, () => drawScene(scene));
}

/** A picture of one colour. */
export function paintSolid(width: number, height: number, colour: Colour): Picture {
  return pictureOf(width, height, () => solidRaster(1, 1, colour));
}

function drawScene(scene: Scene): Raster {
  const { width, height } = rasterSize(scene.width, scene.height, scene.edge ?? RASTER_EDGE);
  const random = seededNoise(scene.seed);
  const hue = random() * 360;
  const raster = solidRaster(width, height, colourOf(hue, 0.2));
  drawBands(raster, hue);
  for (let disc = 0; disc < 5; disc++) drawDisc(raster, random, { hue, shift: scene.shift ?? 0 });
  if (scene.noise) drawNoise(raster, random, scene.noise);
  const hasRoom = width >= CELL.width * 3 && height >= CELL.height * 2;
  if (hasRoom && scene.text + scene.caption !== "") drawWords(raster, scene);
  return raster;
}

function drawBands(raster: Raster, hue: number): void {
  for (let y = 0; y < raster.height; y++) {
    const colour = colourOf(hue, 0.15 + 0.05 * Math.floor((y * 8) / raster.height));
    setRun(raster, { y, from: 0, to: raster.width }, colour);
  }
}

function drawDisc(raster: Raster, random: () => number, look: { readonly hue: number; readonly shift: number }): void {
  const radius = Math.max(2, Math.round(random() * 0.25 * raster.width));
  const centreX = Math.round(random() * raster.width + look.shift) % raster.width;
  const centreY = Math.round(random() * raster.height);
  const colour = colourOf(look.hue + 120 + random() * 90, 0.45 + random() * 0.3);
  for (let y = -radius; y <= radius; y++) {
    const reach = Math.floor(Math.sqrt(radius * radius - y * y));
    setRun(raster, { y: centreY + y, from: centreX - reach, to: centreX + reach + 1 }, colour);
  }
}

function drawNoise(raster: Raster, random: () => number, amount: number): void {
  const greys: readonly Colour[] = [0, 1, 2, 3].map((level) => [level * 80, level * 80, level * 80]);
  for (let y = 0; y < raster.height; y++) {
    for (let x = 0; x < raster.width; x++) {
      if (random() >= amount) continue;
      setDot(raster, [x, y], greys[Math.floor(random() * 4)] ?? [0, 0, 0]);
    }
  }
}

function drawWords(raster: Raster, scene: Scene): void {
  const columns = Math.max(1, Math.floor((raster.width - 4) / CELL.width));
  const rows = Math.max(1, Math.floor((raster.height - 4) / CELL.height));
  const caption = wrap(scene.caption, columns).slice(0, 1);
  const lines = [...wrap(scene.text, columns).slice(0, Math.max(1, rows - 1)), ...(rows > 1 ? caption : [])];
  const top = Math.floor((raster.height - lines.length * CELL.height) / 2);
  for (let y = top - 2; y < top + lines.length * CELL.height + 1; y++) {
    setRun(raster, { y, from: 0, to: raster.width }, [16, 16, 24]);
  }
  lines.forEach((line, index) => {
    drawLine(raster, line, { x: 2, y: top + index * CELL.height });
  });
}

function drawLine(raster: Raster, line: string, at: { readonly x: number; readonly y: number }): void {
  line.split("").forEach((character, index) => {
    for (let column = 0; column < 5; column++) {
      for (let row = 0; row < 7; row++) {
        if (!isDotSet(character, column, row)) continue;
        setDot(raster, [at.x + index * CELL.width + column, at.y + row], [250, 250, 240]);
      }
    }
  });
}

/** Breaks text into lines of at most `columns` characters, between words where that is possible. */
function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/).filter((part) => part !== "")) {
    for (let rest = word; rest !== ""; ) {
      const room = line === "" ? columns : columns - line.length - 1;
      if (rest.length > room && line !== "") {
        lines.push(line);
        line = "";
        continue;
      }
      line = line === "" ? rest.slice(0, columns) : `${line} ${rest}`;
      rest = rest.slice(columns);
    }
  }
  return line === "" ? lines : [...lines, line];
}

/** A colour of the wheel: hue in degrees, lightness 0–1, half saturated. */
function colourOf(hue: number, lightness: number): Colour {
  const spread = 0.5 * Math.min(lightness, 1 - lightness);
  const channel = (offset: number): number => {
    const turn = (offset + hue / 30) % 12;
    return Math.round(255 * (lightness - spread * Math.max(-1, Math.min(turn - 3, 9 - turn, 1))));
  };
  return [channel(0), channel(8), channel(4)];
}
