export * as Api from "./Api.ts"
export * as Probe from "./Probe.ts"
export * as Proxy from "./Proxy.ts"
export * as RawConnection from "./RawConnection.ts"
