// Node-RED as the end-to-end benchmark runs it: one flow, no editor, no log, loopback only.
module.exports = {
  uiHost: "127.0.0.1",
  uiPort: Number(process.env.PORT || 18880),
  httpAdminRoot: false,
  flowFile: "flows.json",
  credentialSecret: false,
  disableEditor: true,
  logging: { console: { level: "warn", metrics: false, audit: false } },
  contextStorage: { default: { module: "memory" } },
};
