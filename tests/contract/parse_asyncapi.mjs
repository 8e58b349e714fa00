// Reads an AsyncAPI document by the official parser; prints its diagnostics and what it found in it, as JSON.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
console.log(
  JSON.stringify({
    diagnostics: diagnostics.map(({ severity, code, path, message }) => ({ severity, code, path, message })),
    channels: document?.channels().all().map((channel) => channel.address()),
    operations: document?.operations().all().map((operation) => ({
      id: operation.id(),
      action: operation.action(),
      address: operation.channels().all()[0].address(),
      ...operation.bindings().get("mqtt")?.value(),
    })),
    lastWill: document?.servers().all().map((server) => server.bindings().get("mqtt").value().lastWill),
  }),
);
