/**
 * The classes of a broker in a form that the JVM maps into memory instead of reading, linking and verifying them again
 * (class data sharing): a node listens in half the time. The JVM writes the archive when a node that was told to ends in
 * good order, so the first one does it for all later ones.
 */
import { createHash } from "node:crypto"
import { existsSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"

let recordings = 0

interface ClassArchive {
  /** Arguments for the JVM. */
  readonly flags: ReadonlyArray<string>
  /** Where this node will leave the archive, when it ends in good order. */
  readonly recording: string | undefined
}

/** An archive fits one version of Java and one folder of jars; a JVM that it does not fit leaves it alone. */
const path = (libs: string, javaVersion: string): string =>
  join(libs, `classes-${createHash("sha256").update(javaVersion).digest("hex").slice(0, 16)}.jsa`)

/** Arguments for a JVM that uses what has been recorded, if anything has. */
export const sharedClasses = (libs: string, javaVersion: string): ReadonlyArray<string> => {
  const archive = path(libs, javaVersion)
  return existsSync(archive) ? ["-Xshare:auto", `-XX:SharedArchiveFile=${archive}`] : []
}

export const classArchive = (libs: string, javaVersion: string): ClassArchive => {
  const flags = sharedClasses(libs, javaVersion)
  // One recording is enough; a process starts its nodes one after the other.
  if (flags.length > 0 || recordings > 0) return { flags, recording: undefined }
  const recording = `${path(libs, javaVersion)}.${process.pid}-${++recordings}`
  return { flags: [`-XX:ArchiveClassesAtExit=${recording}`], recording }
}

/** After the node has ended: puts what it recorded into place, under a name that appears only when it is whole. */
export const keep = (recording: string): void => {
  if (!existsSync(recording)) return
  const archive = recording.slice(0, recording.lastIndexOf("."))
  if (existsSync(archive)) rmSync(recording, { force: true })
  else renameSync(recording, archive)
}
