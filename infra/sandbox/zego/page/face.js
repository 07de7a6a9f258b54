// Moves the mouth of the bundled presenter: columns below the lips are pushed down, and the gap is painted.

const SIDE = 1024;
const MIDDLE = 512;
const HALF_MOUTH = 64;
const CORNER = 591;
const DIP = 7; // How far the middle of the closed lips lies below their corners.
const NECK = 745; // Below this nothing moves.
const WIDEST = 34;
const COLUMN = 2;

export class Face {
  constructor(canvas, picture) {
    this.pen = canvas.getContext("2d");
    this.picture = new Image();
    this.picture.src = picture;
    this.opening = 0;
    this.isReady = false;
    this.picture.decode().then(() => {
      this.isReady = true;
      this.paint();
      canvas.ariaBusy = "false";
    });
  }

  /** Speak with a loudness between 0 and 1. */
  show(level) {
    const wanted = level * WIDEST;
    const before = this.opening;
    // A jaw opens faster than it closes.
    this.opening += (wanted - before) * (wanted > before ? 0.6 : 0.35);
    if (this.opening < 0.3) this.opening = 0;
    if (this.isReady && (this.opening || before)) this.paint();
  }

  paint() {
    const pen = this.pen;
    pen.drawImage(this.picture, 0, 0, SIDE, SIDE);
    if (!this.opening) return;
    this.paintInside();
    for (let x = MIDDLE - HALF_MOUTH; x < MIDDLE + HALF_MOUTH; x += COLUMN) {
      const top = lips(x + COLUMN / 2);
      const shift = this.opening * bend(x + COLUMN / 2);
      pen.drawImage(this.picture, x, top, COLUMN, NECK - top, x, top + shift, COLUMN, NECK - top - shift);
    }
  }

  paintInside() {
    const pen = this.pen;
    pen.save();
    pen.beginPath();
    for (let x = MIDDLE - HALF_MOUTH; x <= MIDDLE + HALF_MOUTH; x += COLUMN) pen.lineTo(x, lips(x) - 1);
    for (let x = MIDDLE + HALF_MOUTH; x >= MIDDLE - HALF_MOUTH; x -= COLUMN) pen.lineTo(x, lips(x) + this.opening * bend(x) + 1);
    pen.clip();
    pen.fillStyle = "#3d1418";
    pen.fillRect(MIDDLE - HALF_MOUTH, CORNER - 4, 2 * HALF_MOUTH, WIDEST + 20);
    pen.fillStyle = "#a8484e";
    ellipse(pen, MIDDLE, CORNER + DIP + this.opening + 4, 36, this.opening * 0.45);
    pen.fillStyle = "#e6dcd1";
    ellipse(pen, MIDDLE, CORNER + DIP - 4, 46, 5 + this.opening * 0.22);
    pen.restore();
  }
}

/** Height of the line between the lips at a column. */
function lips(x) {
  return CORNER + DIP * bend(x);
}

/** 1 in the middle of the mouth, 0 at its corners. */
function bend(x) {
  return Math.cos((Math.PI / 2) * Math.min(1, Math.abs(x - MIDDLE) / HALF_MOUTH)) ** 1.3;
}

function ellipse(pen, x, y, across, up) {
  pen.beginPath();
  pen.ellipse(x, y, across, up, 0, 0, 2 * Math.PI);
  pen.fill();
}
