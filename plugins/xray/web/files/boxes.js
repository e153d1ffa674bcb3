// Boxes that are drawn over a picture with the mouse, a pen or a finger, or typed with the keyboard.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const SIDES = ["left", "top", "right", "bottom"];

class Boxes {
  constructor(part) {
    this.image = part.querySelector("img");
    this.svg = part.querySelector("svg");
    this.list = part.querySelector("ol");
    this.boxes = [];
    this.svg.addEventListener("pointerdown", (event) => this.begin(event));
    this.svg.addEventListener("pointermove", (event) => this.move(event));
    this.svg.addEventListener("pointerup", () => this.end());
    this.svg.addEventListener("pointercancel", () => this.cancel());
    part.querySelector("[data-add]").addEventListener("click", () => this.add());
    if (this.image.complete && this.image.naturalWidth) this.fit();
    this.image.addEventListener("load", () => this.fit());
  }

  // The boxes as the form of the release takes them.
  get text() {
    return this.boxes.map((box) => SIDES.map((side) => box[side]).join(", ")).join("; ");
  }

  fit() {
    this.svg.setAttribute("viewBox", `0 0 ${this.image.naturalWidth} ${this.image.naturalHeight}`);
    this.draw();
  }

  // The pixel of the image under the pointer.
  at(event) {
    const shown = this.svg.getBoundingClientRect();
    const { naturalWidth: width, naturalHeight: height } = this.image;
    const x = Math.round(((event.clientX - shown.left) / shown.width) * width);
    const y = Math.round(((event.clientY - shown.top) / shown.height) * height);
    return [Math.min(Math.max(x, 0), width), Math.min(Math.max(y, 0), height)];
  }

  begin(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.svg.setPointerCapture(event.pointerId);
    this.start = this.at(event);
    this.drawn = null;
  }

  move(event) {
    if (!this.start) return;
    const [x, y] = this.at(event);
    const [startX, startY] = this.start;
    this.drawn = {
      left: Math.min(x, startX),
      top: Math.min(y, startY),
      right: Math.max(x, startX),
      bottom: Math.max(y, startY),
    };
    this.draw();
  }

  end() {
    const box = this.drawn;
    this.cancel();
    if (box && box.right - box.left > 2 && box.bottom - box.top > 2) this.boxes.push(box);
    this.draw();
    this.show();
  }

  cancel() {
    this.start = this.drawn = null;
  }

  // A box in the middle, for the keyboard.
  add() {
    const { naturalWidth: width, naturalHeight: height } = this.image;
    const [left, top] = [Math.round(width / 4), Math.round(height / 4)];
    this.boxes.push({ left, top, right: width - left, bottom: height - top });
    this.draw();
    this.show();
    this.list.lastElementChild.querySelector("input").focus();
  }

  draw() {
    const boxes = this.drawn ? [...this.boxes, this.drawn] : this.boxes;
    this.svg.replaceChildren(
      ...boxes.map((box) => {
        const rect = document.createElementNS(SVG, "rect");
        rect.setAttribute("x", box.left);
        rect.setAttribute("y", box.top);
        rect.setAttribute("width", Math.max(0, box.right - box.left));
        rect.setAttribute("height", Math.max(0, box.bottom - box.top));
        return rect;
      }),
    );
  }

  show() {
    this.list.replaceChildren(...this.boxes.map((box, index) => this.item(box, index)));
  }

  item(box, index) {
    const item = document.createElement("li");
    for (const side of SIDES) {
      const input = document.createElement("input");
      input.type = "number";
      input.min = 0;
      input.value = box[side];
      input.setAttribute("aria-label", `Box ${index + 1}: ${side}, in pixels`);
      input.addEventListener("input", () => {
        box[side] = Math.round(Number(input.value));
        this.draw();
      });
      item.append(input, " ");
    }
    const remove = document.createElement("button");
    remove.type = "button";
    remove.textContent = "Remove";
    remove.setAttribute("aria-label", `Remove box ${index + 1}`);
    remove.addEventListener("click", () => {
      this.boxes.splice(index, 1);
      this.draw();
      this.show();
      (this.list.querySelector("button") ?? this.list.parentElement.querySelector("[data-add]")).focus();
    });
    item.append(remove);
    return item;
  }
}
