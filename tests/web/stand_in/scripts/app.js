// As much of ComfyUI's page as our scripts use.
export const app = {
  extensions: [],
  nodeOutputs: {},
  rootGraph: { nodes: [], subgraphs: new Map() },
  canvas: { setDirty: () => (window.dirty = (window.dirty ?? 0) + 1) },
  extensionManager: {
    setting: { get: (name) => ({ "Comfy.Locale": window.locale ?? "en" })[name] },
    toast: { add: (message) => (window.told ??= []).push(message) },
    workflow: { activeWorkflow: { changeTracker: { captureCanvasState: () => (window.noted = (window.noted ?? 0) + 1) } } },
  },
  registerExtension(extension) {
    this.extensions.push(extension);
  },
};

class Node {
  constructor(comfyClass, names) {
    this.comfyClass = comfyClass;
    this.id = app.rootGraph.nodes.length + 1;
    this.graph = app.rootGraph;
    this.size = [300, 100];
    this.properties = {};
    this.widgets = names.map((name) => ({ name, value: null, options: {}, callback: (value) => (this.called = [name, value]) }));
  }

  addDOMWidget(name, type, element, options) {
    const widget = { name, type, element, options };
    this.widgets.push(widget);
    const place = document.createElement("div"); // as high as the page makes it
    place.style.height = "400px";
    place.append(element);
    document.body.append(place);
    return widget;
  }

  addWidget(type, name, value, callback, options) {
    const widget = { type, name, value, callback, options };
    this.widgets.push(widget);
    return widget;
  }

  computeSize() {
    return [200, 50 + this.widgets.reduce((sum, widget) => sum + (widget.options?.getMinHeight?.() ?? 20), 0)];
  }

  setSize(size) {
    this.size = size;
  }

  // What the page does with a node of a saved graph.
  configure(saved) {
    this.size = saved.size ?? this.size;
    this.properties = { ...this.properties, ...saved.properties };
    this.onConfigure?.(saved);
  }
}

const each = (hook, ...values) => app.extensions.forEach((extension) => extension[hook]?.(...values));

// What a test calls: a new node as the page makes it, a saved one, and other outputs as after a change of tabs.
window.makeNode = (comfyClass, names = [], saved = null) => {
  const node = new Node(comfyClass, names);
  window.before = 0;
  node.onExecuted = () => window.before++;
  each("nodeCreated", node); // not awaited, as the page does not wait either
  app.rootGraph.nodes.push(node);
  if (saved) {
    node.configure(saved);
    each("loadedGraphNode", node);
  }
  window.node = node;
};
window.giveOutputs = (outputs) => each("onNodeOutputsUpdated", (app.nodeOutputs = outputs));
