/** A typed array that grows as rows come, so that a header that announces too much costs no memory. */
export class Growing {
    /**
     * @param {any} Type constructor of a typed array
     * @param {number} width numbers a row
     * @param {number} rows rows to make room for; 0 means that the array is not used
     */
    constructor(Type, width, rows) {
        this.Type = Type;
        this.width = width;
        this.used = rows > 0;
        this.data = new Type(width * rows);
    }

    /** Room for so many rows, at most `limit` of them ever. @param {number} rows @param {number} limit */
    reserve(rows, limit) {
        if (!this.used || rows * this.width <= this.data.length) return;
        const grown = new this.Type(this.width * Math.min(limit, Math.max(rows, 2 * (this.data.length / this.width))));
        grown.set(this.data);
        this.data = grown;
    }

    /** The first `length` numbers. @param {number} length */
    cut(length) {
        return this.data.length === length ? this.data : this.data.slice(0, length);
    }
}
