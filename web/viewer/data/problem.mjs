/** What is wrong, as a key of the strings table with its values; `text` is made where it is shown. */
export class Problem extends Error {
    /** @param {string} key @param {Record<string, string | number>} [values] */
    constructor(key, values = {}) {
        super(`${key} ${JSON.stringify(values)}`);
        this.key = key;
        this.values = values;
    }
}
