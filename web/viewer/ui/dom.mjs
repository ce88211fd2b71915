/** Elements in one line. */

/**
 * h("button.wide", {title: "x", onclick: f}, "text", child): an element with properties and children. Properties that
 * begin with "on" listen, "data-", "aria-" and "role" are attributes, null and undefined are left out.
 *
 * @param {string} kind name and classes
 * @param {Record<string, any>} [properties]
 * @param {...(Node | string | null)} children
 * @returns {any}
 */
export function h(kind, properties = {}, ...children) {
    const [name, ...classes] = kind.split(".");
    const element = document.createElement(name);
    element.classList.add(...classes);
    for (const [key, value] of Object.entries(properties)) {
        if (value === null || value === undefined) continue;
        if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
        else if (/^(data-|aria-|role$|for$)/.test(key)) element.setAttribute(key, String(value));
        else element[key] = value;
    }
    element.append(...children.filter((child) => child !== null));
    return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** An SVG element. @param {string} name @param {Record<string, any>} [attributes] @param {...Node} children @returns {any} */
export function svg(name, attributes = {}, ...children) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
    element.append(...children);
    return element;
}

/** Show or hide. @param {HTMLElement} element @param {boolean} isShown */
export function show(element, isShown) {
    element.hidden = !isShown;
}
