// Events from one node to many: as many as all can hear, and how long one takes when they are rare.
import { program } from '../programs.mjs'

export const about = 'events to 1, 4 and 16 nodes'
export const contestants = ['rachis']

const NODES = [1, 4, 16]

export const rows = () => [
  ...NODES.map(nodes => ({ key: `deliveries ${nodes}`, name: `events: deliveries/s, nodes: ${nodes}` })),
  ...NODES.map(nodes => ({ key: `p99 ${nodes}`, name: `events: p99 µs at 500 a second, nodes: ${nodes}` }))
]

export async function measure (stage, _, { seconds }) {
  const values = {}
  for (const nodes of NODES) {
    const { url } = await stage.redis()
    const words = ['events', '--redis', url, '--nodes', nodes, '--seconds', seconds]
    const [{ deliveries, p99 }] = await stage.figures(program('mesh'), words)
    values[`deliveries ${nodes}`] = deliveries
    values[`p99 ${nodes}`] = p99
    await stage.clear()
  }
  return values
}
