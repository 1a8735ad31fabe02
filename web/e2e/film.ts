// A film of a page: the frames that the browser paints, encoded by a browser too, so that it takes no other
// program. A second tab draws each frame when it comes and records what it draws, as WebM.
import { writeFileSync } from 'node:fs';
import type { Browser, Page } from '@playwright/test';

const FRAMES_A_SECOND = 10;
const BITS_A_SECOND = 1_500_000;

/** In the tab that records. */
interface Recorder {
  draw: (jpeg: string) => Promise<void>;
  end: () => Promise<string>;
}
type Cutting = typeof globalThis & { recorder: Recorder };

export interface Film {
  /** Ends it and writes it. */
  save: (path: string) => Promise<void>;
}

export async function film(browser: Browser, page: Page): Promise<Film> {
  const size = page.viewportSize();
  if (!size) throw new Error('a page without a size cannot be filmed');
  const context = await browser.newContext({ viewport: size });
  const cutting = await context.newPage();
  await cutting.evaluate(
    ({ width, height, frames, bits }) => {
      const canvas = document.createElement('canvas');
      canvas.width = width;
      canvas.height = height;
      document.body.append(canvas);
      const picture = canvas.getContext('2d');
      const recorder = new MediaRecorder(canvas.captureStream(frames), {
        mimeType: 'video/webm;codecs=vp8',
        videoBitsPerSecond: bits,
      });
      const parts: Blob[] = [];
      recorder.ondataavailable = ({ data }) => parts.push(data);
      recorder.start(1_000);
      (window as unknown as Cutting).recorder = {
        draw: async (jpeg) => {
          const bytes = Uint8Array.from(atob(jpeg), (letter) => letter.charCodeAt(0));
          const frame = await createImageBitmap(new Blob([bytes], { type: 'image/jpeg' }));
          picture?.drawImage(frame, 0, 0, width, height);
        },
        end: async () => {
          const ended = new Promise((done) => recorder.addEventListener('stop', done));
          recorder.stop();
          await ended;
          const reader = new FileReader();
          const read = new Promise((done) => reader.addEventListener('load', done));
          reader.readAsDataURL(new Blob(parts));
          await read;
          return String(reader.result).split(',')[1] ?? '';
        },
      };
    },
    { ...size, frames: FRAMES_A_SECOND, bits: BITS_A_SECOND },
  );

  // One frame after the other; what comes while one is drawn takes the place of what still waits.
  let waiting: Buffer | null = null;
  let drawing: Promise<void> | null = null;
  const draw = async () => {
    for (let frame = waiting; frame; frame = waiting) {
      waiting = null;
      await cutting.evaluate(
        (jpeg) => (window as unknown as Cutting).recorder.draw(jpeg),
        frame.toString('base64'),
      );
    }
    drawing = null;
  };
  await page.screencast.start({
    size,
    fps: FRAMES_A_SECOND,
    onFrame: ({ data }) => {
      waiting = data;
      drawing ??= draw();
    },
  });
  return {
    save: async (path) => {
      await page.screencast.stop();
      await drawing;
      const webm = await cutting.evaluate(() => (window as unknown as Cutting).recorder.end());
      writeFileSync(path, Buffer.from(webm, 'base64'));
      await context.close();
    },
  };
}
