// What ComfyUI's page shows on our nodes: texts, files to fetch, uploads, the picker of Sparsity Report, the viewer of Preview.
// Results come with the node's output, so everything also works without a page; these files only show them.
// ComfyUI itself imports every .js file of this folder and asks for each anew on every load, so old and new never mix.

import { app } from "../../scripts/app.js";
import { addPicker } from "./picker.js";
import { addViewer } from "./preview.js";
import { restoreAll, restore } from "./results.js";
import { orderTemplates } from "./templates.js";
import { addText } from "./text_box.js";
import { addUpload } from "./upload.js";

const TEXT_NODES = [
  "ManyView_LoadImages",
  "ManyView_LoadModel",
  "ManyView_LoadScene",
  "ManyView_Reconstruct",
  "ManyView_PointCloud",
  "ManyView_ExportPointCloud",
  "ManyView_ExportCOLMAP",
  "ManyView_DepthMaps",
  "ManyView_SetScale",
  "ManyView_Compare",
];

app.registerExtension({
  name: "ManyView.Nodes",
  init: orderTemplates,
  // Nothing here waits: what is on a node has to be there before the page gives it the size and values it was saved with.
  nodeCreated(node) {
    if (node.comfyClass === "ManyView_LoadImages") addUpload(node);
    if (TEXT_NODES.includes(node.comfyClass)) addText(node);
    if (node.comfyClass === "ManyView_SparsityReport") addPicker(node);
    if (node.comfyClass === "ManyView_Preview") addViewer(node);
  },
  loadedGraphNode: restore,
  onNodeOutputsUpdated: restoreAll,
});
