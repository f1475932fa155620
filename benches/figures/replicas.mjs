// Many replicas at low load: each read finds little, so all that batches do for throughput is lost.
export const about = 'calls to 8 replicas in one process, by 16 callers'
export const contestants = ['rachis', 'raw', 'rs', 'nats']

const REPLICAS = 8
const CALLERS = 16

export const rows = () => [
  { key: 'rate', name: `calls/s, callers: ${CALLERS}, replicas: ${REPLICAS}` },
  { key: 'p50', name: `p50 µs, callers: ${CALLERS}, replicas: ${REPLICAS}` }
]

export async function measure (stage, contestant, { seconds }) {
  const service = await contestant.serve(stage, { replicas: REPLICAS })
  const [figure] = await service.call(CALLERS, seconds)
  return figure
}
