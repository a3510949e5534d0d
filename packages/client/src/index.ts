export * as KafkaClient from "./KafkaClient.ts"
export * as Transport from "./Transport.ts"
