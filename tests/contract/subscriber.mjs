import mqtt from "mqtt"; // npm install mqtt

const address = `mqtt://${process.argv[2]}:${process.argv[3]}`;
const client = mqtt.connect(address, { clientId: "my-dashboard-js", clean: false });
client.on("connect", () => client.subscribe("soundclr/+/+/event", { qos: 1 }));
client.on("message", (topic, payload) => {
  const event = JSON.parse(payload);
  console.log(event.id, event.start, event.node, event.phase, event.label, event.laeq_db ?? null);
});
