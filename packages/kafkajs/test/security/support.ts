import { CommittedConsumer, IdempotentProducer, TransactionalSession } from "@exactly-once/core"
import { KafkaJs } from "@exactly-once/kafkajs"
import { Probe } from "@exactly-once/testkit"
import { Effect, Layer, Redacted } from "effect"
import {
  AclOperationTypes,
  AclPermissionTypes,
  AclResourceTypes,
  type Admin,
  Kafka,
  logLevel,
  ResourcePatternTypes
} from "kafkajs"
import { execFileSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Cluster, startCluster } from "../../../../scripts/lib/kafkaCluster.ts"
import type { Right } from "./rights.ts"

export const scramPassword = "alice-pa55word"
export const plainPassword = "bob-pa55word"

export interface Guarded {
  readonly cluster: Cluster
  /** The certificate authority that signed the brokers' certificate, and another one. */
  readonly ca: string
  readonly otherCa: string
  readonly stop: () => Promise<void>
}

const openssl = process.env["OPENSSL"] ?? "openssl"

const authority = (directory: string, name: string): string => {
  const cert = join(directory, `${name}.crt`)
  execFileSync(openssl, [
    ...["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", `/CN=${name}`],
    ...["-keyout", join(directory, `${name}.key`), "-out", cert]
  ], { stdio: "ignore" })
  return readFileSync(cert, "utf8")
}

/** A key and a certificate for 127.0.0.1 in one file, as Kafka's PEM key stores want them. */
const keyStore = (directory: string, signer: string): string => {
  const at = (file: string) => join(directory, file)
  execFileSync(openssl, [
    ...["req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=broker", "-addext", "subjectAltName=IP:127.0.0.1"],
    ...["-keyout", at("broker.key"), "-out", at("broker.csr")]
  ], { stdio: "ignore" })
  execFileSync(openssl, [
    ...["x509", "-req", "-in", at("broker.csr"), "-days", "2", "-copy_extensions", "copy", "-CAcreateserial"],
    ...["-CA", at(`${signer}.crt`), "-CAkey", at(`${signer}.key`), "-out", at("broker.crt")]
  ], { stdio: "ignore" })
  writeFileSync(
    at("broker.pem"),
    readFileSync(at("broker.key"), "utf8") + readFileSync(at("broker.crt"), "utf8")
  )
  return at("broker.pem")
}

/** A broker with ACLs, a SASL listener (alice by SCRAM, bob by PLAIN), and a TLS listener. */
export const startGuarded = async (): Promise<Guarded> => {
  const directory = mkdtempSync(join(tmpdir(), "exactly-once-tls-"))
  const ca = authority(directory, "our-authority")
  const otherCa = authority(directory, "their-authority")
  const cluster = await startCluster({
    authorizer: true,
    scram: [{ name: "alice", password: scramPassword }],
    properties: { "auto.create.topics.enable": "false" },
    listeners: [
      {
        name: "SECURE",
        protocol: "SASL_PLAINTEXT",
        properties: {
          "sasl.enabled.mechanisms": "SCRAM-SHA-256,PLAIN",
          "scram-sha-256.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
          "plain.sasl.jaas.config":
            `org.apache.kafka.common.security.plain.PlainLoginModule required user_bob="${plainPassword}";`
        }
      },
      {
        name: "TLS",
        protocol: "SSL",
        properties: { "ssl.keystore.type": "PEM", "ssl.keystore.location": keyStore(directory, "our-authority") }
      }
    ]
  })
  return {
    cluster,
    ca,
    otherCa,
    stop: async () => {
      await cluster.stop()
      rmSync(directory, { recursive: true })
    }
  }
}

export const addresses = (list: string | undefined): ReadonlyArray<string> => (list ?? "").split(",")

const operations = {
  Read: AclOperationTypes.READ,
  Write: AclOperationTypes.WRITE
}
const resources = {
  Topic: AclResourceTypes.TOPIC,
  Group: AclResourceTypes.GROUP,
  TransactionalId: AclResourceTypes.TRANSACTIONAL_ID
}

const entry = (user: string, grant: Right) => ({
  resourceType: resources[grant.resource],
  resourceName: grant.name,
  resourcePatternType: grant.prefixed === true ? ResourcePatternTypes.PREFIXED : ResourcePatternTypes.LITERAL,
  principal: `User:${user}`,
  host: "*",
  operation: operations[grant.operation],
  permissionType: AclPermissionTypes.ALLOW
})

const asAdmin = <A>(cluster: Cluster, use: (admin: Admin) => Promise<A>) =>
  Effect.promise(async () => {
    const admin = new Kafka({ brokers: [...addresses(cluster.bootstrap)], logLevel: logLevel.NOTHING }).admin()
    await admin.connect()
    try {
      return await use(admin)
    } finally {
      await admin.disconnect()
    }
  })

/** Gives a user these rights, and waits until the broker knows them. */
export const allow = (cluster: Cluster, user: string, grants: ReadonlyArray<Right>) =>
  grants.length === 0 ? Effect.void : asAdmin(cluster, async (admin) => {
    await admin.createAcls({ acl: grants.map((grant) => entry(user, grant)) })
    for (const grant of grants) {
      while ((await admin.describeAcls(entry(user, grant))).resources.length === 0) continue
    }
  })

/** Takes a right away. */
export const revoke = (cluster: Cluster, user: string, right: Right) =>
  asAdmin(cluster, async (admin) => {
    await admin.deleteAcls({ filters: [entry(user, right)] })
    while ((await admin.describeAcls(entry(user, right))).resources.length > 0) continue
  })

/** Topics, names nobody else uses, and alice's layers. */
export const scene = (cluster: Cluster) =>
  Effect.gen(function*() {
    const id = randomUUID().slice(0, 8)
    const name = (part: string) => `${part}-${id}`
    const probe = yield* Probe.make(addresses(cluster.bootstrap))
    for (const topic of ["in", "out"]) yield* probe.createTopic(name(topic), 1)
    const driver = KafkaJs.layer({
      bootstrap: addresses(cluster.listeners["SECURE"]),
      clientLogLevel: "nothing",
      sasl: { mechanism: "scram-sha-256", username: "alice", password: Redacted.make(scramPassword) }
    })
    return {
      name,
      probe,
      producer: IdempotentProducer.layer().pipe(Layer.provide(driver)),
      session: TransactionalSession.layer({ transactionalIdPrefix: name("app"), replica: "app-0" }).pipe(
        Layer.provide(driver)
      ),
      consumer: CommittedConsumer.layer({ groupId: name("group"), maxWait: "100 millis" }).pipe(Layer.provide(driver))
    }
  })
