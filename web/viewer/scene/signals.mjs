/** Something that others can listen to. */
export class Signals {
    constructor() {
        /** @type {Map<string, Set<(value: any) => void>>} */
        this.listeners = new Map();
    }

    /** Call `listener` at each of these signals (names parted by spaces). @param {string} names @param {(value: any) => void} listener */
    on(names, listener) {
        for (const name of names.split(" ")) {
            if (!this.listeners.has(name)) this.listeners.set(name, new Set());
            this.listeners.get(name).add(listener);
        }
    }

    /** @param {string} name @param {any} [value] */
    emit(name, value) {
        for (const listener of this.listeners.get(name) || []) listener(value);
    }
}
