// As much of ComfyUI's page as our scripts use.
export const app = {
  extensions: [],
  graph: { setDirtyCanvas() {} },
  extensionManager: { setting: { get: (name) => ({ "Comfy.Locale": "ja" })[name] } },
  registerExtension(extension) {
    this.extensions.push(extension);
  },
};

class Node {
  constructor(comfyClass, names) {
    this.comfyClass = comfyClass;
    this.size = [300, 100];
    this.widgets = names.map((name) => ({ name, value: null, callback: (value) => (this.called = [name, value]) }));
  }

  addDOMWidget(name, type, element, options) {
    const widget = { name, type, element, options };
    this.widgets.push(widget);
    document.body.append(element);
    return widget;
  }

  computeSize() {
    return [200, 50 + this.widgets.reduce((sum, widget) => sum + (widget.options?.getMinHeight?.() ?? 20), 0)];
  }

  setSize(size) {
    this.size = size;
  }
}

// What a test calls: a new node as the page makes it, and a result of it.
window.makeNode = async (comfyClass, names = []) => {
  const node = new Node(comfyClass, names);
  window.before = 0;
  node.onExecuted = () => window.before++;
  for (const extension of app.extensions) await extension.nodeCreated(node);
  window.node = node;
};
