// The mesh of the dashboard: a gateway, three apps of eight nodes in all, and their customers.
import { freePort, start, startRedis } from './mesh.mjs'

/** How long a node is believed after its last beat. */
export const TTL = 1500

export class Shop {
  nodes = []

  constructor(binary, folder) {
    Object.assign(this, { binary, folder })
  }

  async start() {
    Object.assign(this, await startRedis(this.folder))
    this.port = await freePort()
    await this.startGateway()
    for (const app of ['products', 'products', 'products', 'orders', 'orders', 'mails', 'mails']) await this.startNode(app)
    await this.startNode('customers')
  }

  get url() {
    return `http://127.0.0.1:${this.port}`
  }

  get #env() {
    return {
      REDIS_URL: this.redisUrl,
      DISTRIBUTION_NAMESPACE: 'shop',
      HEARTBEAT_INTERVAL: `${TTL / 3}ms`,
      DISTRIBUTION__LIMITS__MAX_DELIVERIES: '1'
    }
  }

  /** Always at the same port, so that a page finds the next one. */
  async startGateway(env = {}) {
    this.gateway = await start(this.binary, ['gateway'], 'gateway on', this.folder, { ...this.#env, PORT: String(this.port), ...env })
  }

  async startNode(app, env = {}) {
    const node = await start(this.binary, [app], 'process', this.folder, { ...this.#env, ...env })
    node.app = app
    this.nodes.push(node)
    return node
  }

  async ask(method, path, { body, token } = {}) {
    const headers = { Accept: 'application/json', 'Content-Type': 'application/json' }
    if (token) headers.Authorization = `Bearer ${token}`
    const response = await fetch(this.url + path, { method, headers, body: body && JSON.stringify(body) })
    return { status: response.status, json: await response.json() }
  }

  async logIn(name) {
    const { json } = await this.ask('POST', '/authentication', { body: { strategy: 'local', email: `${name}@example.com`, password: 'shop' } })
    return json.accessToken
  }

  async stop() {
    for (const program of [this.gateway, ...this.nodes, this.redis]) await program?.stop()
  }
}
