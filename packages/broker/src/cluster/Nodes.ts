/** Which nodes run. Their ids are 1, 2, 3 … */
export class Nodes {
  private running: ReadonlyArray<number>

  constructor(count: number) {
    this.running = Array.from({ length: count }, (_, i) => i + 1)
  }

  isRunning(node: number): boolean {
    return this.running.includes(node)
  }

  /** The node after this one among those that run; the same one when it is alone. */
  after(node: number): number {
    return this.running.find((id) => id > node) ?? this.running[0] ?? node
  }

  /** The node that is to lead the partition of this index: they go round. */
  leaderOf(index: number): number {
    return this.running[index % this.running.length] ?? 1
  }

  stop(node: number): void {
    this.running = this.running.filter((id) => id !== node)
  }

  start(node: number): void {
    if (!this.isRunning(node)) this.running = [...this.running, node].sort((a, b) => a - b)
  }
}
