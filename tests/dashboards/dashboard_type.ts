// The dashboard's JSON against Grafana's own types (@grafana/schema): tsc finds what Grafana does not know.
import type { Dashboard } from "@grafana/schema";

// JSON has words where TypeScript has enumerations
type Words<T> = T extends string ? (string extends T ? T : `${T}`)
  : T extends (infer U)[] ? Words<U>[]
  : T extends object ? { [K in keyof T]: Words<T[K]> }
  : T;
// InfluxDB's own part of a query, which the general type leaves to the data source
type Queries = {
  target?: {
    refId: string; fromAnnotations: boolean; rawQuery: boolean; query: string; resultFormat: string;
    textColumn: string; tagsColumn: string; titleColumn: string; timeEndColumn: string;
  };
};

export type StreetDashboard = Omit<Words<Dashboard>, "annotations"> & {
  annotations: { list: (Omit<Words<NonNullable<NonNullable<Dashboard["annotations"]>["list"]>[number]>, "target"> & Queries)[] };
};
