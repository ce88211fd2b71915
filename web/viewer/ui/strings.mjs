/** The words that people read, in the language of the page's parameter "lang". */
import { en } from "./strings_en.mjs";
import { ja } from "./strings_ja.mjs";
import { zh } from "./strings_zh.mjs";

export const LANGUAGES = { en, ja, zh };

let words = en;
let language = "en";

/** Choose by a tag such as "zh-TW"; English for languages that are not there. @param {string} tag */
export function chooseLanguage(tag) {
    const name = tag.toLowerCase().split(/[-_]/)[0];
    language = Object.hasOwn(LANGUAGES, name) ? name : "en";
    words = LANGUAGES[language];
    document.documentElement.lang = language;
}

/** The words for a key, with {values} put in. @param {string} key @param {Record<string, string | number>} [values] */
export function t(key, values = {}) {
    const text = words[key] ?? en[key] ?? key;
    return text.replace(/\{(\w+)\}/g, (_, name) => {
        const value = values[name];
        return typeof value === "number" ? formatNumber(value) : String(value ?? "");
    });
}

/** With separators between thousands. @param {number} value */
export function formatNumber(value) {
    return value.toLocaleString(language, { maximumFractionDigits: 2 });
}

/** A measure with three significant digits, whole numbers in full, never in powers of ten for everyday sizes. @param {number} value */
export function formatMeasure(value) {
    const size = Math.abs(value);
    if (size && (size < 1e-4 || size >= 1e7)) return value.toExponential(3);
    const digits = size ? Math.max(0, Math.min(6, 2 - Math.floor(Math.log10(size)))) : 0;
    return value.toFixed(digits);
}
