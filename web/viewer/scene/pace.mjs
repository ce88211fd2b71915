/** How many points are drawn while the picture moves, so that it moves smoothly; at rest it is all of them. */

const REST_MS = 180;
const SLOW_MS = 40;
const QUICK_MS = 22;
const FEWEST = 150_000;
const TELLING = 8;

export class Pace {
    constructor() {
        this.reset(0);
    }

    /** @param {number} count of all points */
    reset(count) {
        this.count = count;
        this.budget = count;
        this.touched = -Infinity;
        this.last = null;
        this.took = null; // ms from one picture to the next, smoothed
        this.counted = 0; // pictures that this is from
    }

    /** The picture was moved. @param {number} now in ms */
    touch(now) {
        this.touched = Math.max(this.touched, now);
    }

    /** @param {number} now */
    isMoving(now) {
        return now - this.touched < REST_MS;
    }

    /** How many points the next picture gets. @param {number} now */
    points(now) {
        return this.isMoving(now) ? this.budget : this.count;
    }

    /** A picture was drawn. @param {number} now when its turn began */
    drawn(now) {
        if (!this.isMoving(now)) {
            this.last = null;
            return;
        }
        if (this.last !== null) {
            const took = now - this.last;
            this.counted += 1;
            this.took = this.took === null ? took : 0.8 * this.took + 0.2 * took;
            if (this.took > SLOW_MS) this.budget = Math.max(Math.min(this.count, FEWEST), this.budget * 0.8);
            else if (this.took < QUICK_MS) this.budget = Math.min(this.count, this.budget * 1.1 + 1000);
            this.budget = Math.round(this.budget);
        }
        this.last = now;
    }

    /** Pictures a second while it last moved, null before that can be said. */
    get rate() {
        return this.counted > TELLING ? 1000 / this.took : null;
    }
}
