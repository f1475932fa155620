// The story of the page. Names are sentences; the order matters.
import assert from 'node:assert/strict'
import { join } from 'node:path'

const CREDENTIALS = { strategy: 'local', email: 'user@test.com', password: 'user' }
const CLIENT = '**/client/*.js'

/** Waits until `condition` holds; returns what it returned. */
async function eventually(what, condition, seconds = 20) {
  const deadline = Date.now() + seconds * 1000
  for (;;) {
    const value = await condition()
    if (value) return value
    if (Date.now() > deadline) assert.fail(`still waiting until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

const shows = (page, selector, text) => page.locator(selector, { hasText: text }).first().waitFor()
const live = (page, text) => shows(page, '#live', text)
const todo = (page, text) => page.locator('#todos li', { hasText: text })
const listed = (page, text) => todo(page, text).waitFor()
const number = (text) => Number(/replica (\d+)/.exec(text)?.[1])

async function screenshot(page, name) {
  if (process.env.SCREENSHOTS) await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}.png`) })
}

async function logIn(page) {
  await page.click('#login button')
  await shows(page, '#name', CREDENTIALS.email)
}

async function add(page, text) {
  await page.fill('#text', text)
  await page.click('#add button')
  await listed(page, text)
}

/** Somebody else, at another machine. */
async function somebody(mesh) {
  const { status, json } = await mesh.ask('POST', '/authentication', { body: CREDENTIALS })
  assert.equal(status, 201)
  const token = json.accessToken
  /** Creates a todo; returns it with the replica that did it. */
  const create = async (text) => {
    const made = await mesh.ask('POST', '/todos', { body: { text }, token })
    assert.equal(made.status, 201, JSON.stringify(made.json))
    return made.json
  }
  /** Creates todos until this replica has done it. Several at once, or they may take turns with what the page asks. */
  // Each text is found once on the page: a number is never used again, and none is the beginning of another.
  let number = 0
  const createOn = (pid, text) => eventually(`replica ${pid} creates something`, async () => {
    const made = await Promise.all([1, 2, 3].map(() => create(`${text}, no. ${++number}.`)))
    return made.find(({ replica }) => replica === pid)
  })
  return { token, create, createOn }
}

let loads = 0

/** Remembers the page as it is, so that a check can tell that it was not loaded again. */
async function mark(page) {
  loads += 1
  await page.evaluate((mark) => { window.mark = mark }, loads)
}

const isTheSame = async (page) => assert.equal(await page.evaluate(() => window.mark), loads, 'the page was loaded again')

export const checks = {
  'the page is served with the official client, and connects by Socket.IO': async ({ page, mesh }) => {
    await page.goto(mesh.url)
    await live(page, 'Socket.IO: connected')
    assert.deepEqual(await page.evaluate(() => [typeof window.feathers, typeof window.io]), ['function', 'function'])
    assert.equal(await page.locator('#notice').isVisible(), false)
  },

  'the list is refused to whoever has not logged in': async ({ page, mesh }) => {
    await shows(page, '#refused', '401 NotAuthenticated: Not authenticated')
    assert.equal(await page.locator('#list').isVisible(), false)
    assert.equal((await mesh.ask('GET', '/todos')).status, 401)
    await screenshot(page, '1-login-light')
  },

  'a wrong password is refused': async ({ page }) => {
    await page.fill('#password', 'wrong')
    await page.click('#login button')
    await shows(page, '#error', '401 NotAuthenticated: Invalid login')
    assert.equal(await page.locator('#list').isVisible(), false)
    await page.fill('#password', CREDENTIALS.password)
  },

  'user@test.com logs in and sees the list': async ({ page }) => {
    await logIn(page)
    await shows(page, '#source', /says replica \d+/)
    assert.equal(await page.locator('#welcome').isVisible(), false)
    assert.equal(await page.locator('#error').textContent(), '')
  },

  'what is added appears in the list, by its event': async ({ page }) => {
    await add(page, 'Water the plants')
    await shows(page, '#log', 'created: Water the plants')
  },

  'what is checked is done, and what is deleted is gone': async ({ page }) => {
    await add(page, 'Burn the evidence')
    await todo(page, 'Water the plants').locator('input').check()
    await page.locator('#todos li.done', { hasText: 'Water the plants' }).waitFor()
    await shows(page, '#log', 'patched: Water the plants')
    await todo(page, 'Burn the evidence').locator('button').click()
    await todo(page, 'Burn the evidence').waitFor({ state: 'detached' })
    await shows(page, '#log', 'removed: Burn the evidence')
  },

  'what somebody else does arrives by itself, from each replica': async ({ page, mesh }) => {
    const other = await somebody(mesh)
    for (const { pid } of mesh.replicas) {
      const { text } = await other.createOn(pid, 'By somebody else')
      await listed(page, text)
      await shows(page, '#log', `created: ${text} (by replica ${pid})`)
    }
    await screenshot(page, '2-list-light')
    await page.emulateMedia({ colorScheme: 'dark' })
    await screenshot(page, '3-list-dark')
    await page.emulateMedia({ colorScheme: 'light' })
  },

  'whoever has not logged in hears of nothing': async ({ page, mesh, context }) => {
    const other = await somebody(mesh)
    // Not the login of the other page.
    const stranger = await (await context.browser().newContext()).newPage()
    try {
      const frames = []
      stranger.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => frames.push(String(payload))))
      await stranger.goto(mesh.url)
      await shows(stranger, '#refused', '401')
      await other.create('Not for strangers')
      await shows(page, '#log', 'created: Not for strangers')
      // Logged in, it hears the next one on the same socket: had the first been sent, it would have come before.
      await logIn(stranger)
      await other.create('For members')
      await shows(stranger, '#log', 'created: For members')
      const events = frames.filter((frame) => frame.startsWith('42["todos created"'))
      assert.equal(events.some((frame) => frame.includes('Not for strangers')), false, events.join('\n'))
    } finally {
      await stranger.context().close()
    }
  },

  'the login outlives the page': async ({ page }) => {
    await page.reload()
    await shows(page, '#name', CREDENTIALS.email)
    await listed(page, 'Water the plants')
  },

  'a replica is killed, and the page goes on with the other one': async ({ page, mesh }) => {
    await mark(page)
    const [killed, left] = mesh.replicas
    await killed.stop('SIGKILL')
    for (const text of ['After the kill, 1', 'After the kill, 2', 'After the kill, 3']) {
      await add(page, text)
      await shows(page, '#log', `created: ${text} (by replica ${left.pid})`)
    }
    await shows(page, '#log', `node down: todo-service, process ${killed.pid}`)
    assert.equal(number(await page.locator('#source').textContent()), left.pid)
    assert.equal(await page.locator('#error').textContent(), '')
    await isTheSame(page)
  },

  'a new replica is heard of, and of what it does, too': async ({ page, mesh }) => {
    const { pid } = await mesh.startReplica()
    await shows(page, '#log', `node up: todo-service, process ${pid}`)
    const other = await somebody(mesh)
    const { text } = await other.createOn(pid, 'By the new one')
    await shows(page, '#log', `created: ${text} (by replica ${pid})`)
    await isTheSame(page)
  },

  'a gateway that is stopped and started again finds the page connected, logged in and up to date': async ({ page, mesh }) => {
    const { token } = await somebody(mesh)
    await mesh.gateway.stop('SIGTERM')
    await live(page, 'Socket.IO: not connected')
    await shows(page, '#health', 'The gateway does not answer')
    await screenshot(page, '4-gateway-down')
    await mesh.startGateway()
    await live(page, 'Socket.IO: connected')
    assert.equal((await mesh.ask('GET', '/todos', { token })).status, 200, 'a token of the first gateway')
    const { create } = await somebody(mesh)
    await create('After the restart')
    await listed(page, 'After the restart')
    await shows(page, '#log', 'created: After the restart')
    await add(page, 'By the page, after the restart')
    assert.equal(await page.locator('#name').textContent(), CREDENTIALS.email)
    await isTheSame(page)
  },

  'the same holds for a gateway that is killed, and the page shows what it has missed': async ({ page, mesh, context }) => {
    await mesh.gateway.stop('SIGKILL')
    await live(page, 'Socket.IO: not connected')
    // While the page has no network, somebody else has.
    await context.setOffline(true)
    await mesh.startGateway()
    const other = await somebody(mesh)
    await eventually('the gateway finds the todos', async () => (await mesh.ask('GET', '/todos', other)).status === 200)
    await other.create('While the page was away')
    await context.setOffline(false)
    await listed(page, 'While the page was away')
    await live(page, 'Socket.IO: connected')
    await other.create('When it was back')
    await shows(page, '#log', 'created: When it was back')
    await isTheSame(page)
  },

  'a logout ends it: no list, no events, no token': async ({ page, mesh }) => {
    await page.click('#logout')
    await page.locator('#welcome').waitFor()
    await page.reload()
    await shows(page, '#refused', '401 NotAuthenticated')
    await page.locator('#welcome').waitFor()
    assert.equal(await page.evaluate(() => localStorage.getItem('feathers-jwt')), null)
    const { create } = await somebody(mesh)
    await create('Nobody is listening')
    // Long enough for an event that should not come.
    await new Promise((resolve) => setTimeout(resolve, 300))
    await logIn(page)
    await listed(page, 'Nobody is listening')
    assert.equal(await page.locator('#log', { hasText: 'created: Nobody' }).count(), 0)
    await page.click('#logout')
    await page.locator('#welcome').waitFor()
  },

  'a token that is no good is forgotten, and the page asks for a login': async ({ page }) => {
    await page.evaluate(() => localStorage.setItem('feathers-jwt', 'nonsense'))
    await page.reload()
    await shows(page, '#error', '401 NotAuthenticated: jwt malformed')
    await page.locator('#welcome').waitFor()
    assert.equal(await page.evaluate(() => localStorage.getItem('feathers-jwt')), null)
  },

  'without the official client, the page says what to install and does the same by plain HTTP': async ({ page, mesh }) => {
    await page.route(CLIENT, (route) => route.fulfill({ status: 404, body: 'not installed' }))
    await page.goto(mesh.url)
    await shows(page, '#notice', 'npm ci --prefix examples/todo/client')
    await shows(page, '#refused', '401 NotAuthenticated: Not authenticated')
    await logIn(page)
    await live(page, 'HTTP: connected')
    await add(page, 'By plain HTTP')
    const { create } = await somebody(mesh)
    await create('Heard by plain HTTP')
    await shows(page, '#log', 'created: Heard by plain HTTP')
    await listed(page, 'Heard by plain HTTP')
    await mesh.gateway.stop('SIGKILL')
    await live(page, 'HTTP: not connected')
    await mesh.startGateway()
    await live(page, 'HTTP: connected')
    await add(page, 'By plain HTTP, after the restart')
    await screenshot(page, '5-plain')
    await page.click('#logout')
    await page.locator('#welcome').waitFor()
    await page.unroute(CLIENT)
  },

  'the page of documentation shows the services, asks no other address, and calls them with a token': async ({ mesh, context }) => {
    const page = await context.newPage()
    const asked = []
    const wrong = []
    page.on('request', (request) => asked.push(request.url()))
    page.on('console', (message) => ['error', 'warning'].includes(message.type()) && wrong.push(message.text()))
    page.on('pageerror', (error) => wrong.push(String(error)))
    await page.goto(`${mesh.url}/docs`)
    await shows(page, '.opblock-tag', 'todos')
    const create = page.locator('#operations-todos-createTodos')
    await create.locator('.opblock-summary-control').click()
    await create.locator('.try-out__btn').waitFor()
    await screenshot(page, '6-docs')
    await page.locator('.btn.authorize').first().click()
    const { token } = await somebody(mesh)
    await page.locator('.auth-container input').fill(token)
    await page.locator('.auth-btn-wrapper .authorize').click()
    await page.locator('.auth-btn-wrapper .btn-done').click()
    await create.locator('.try-out__btn').click()
    await create.locator('textarea').fill('{ "text": "By the page of documentation" }')
    await create.locator('.execute').click()
    await create.locator('.live-responses-table .response-col_status', { hasText: '201' }).waitFor()
    assert.deepEqual(wrong, [])
    const elsewhere = asked.filter((url) => !url.startsWith(`${mesh.url}/`) && !url.startsWith('data:'))
    assert.deepEqual(elsewhere, [])
    assert.ok(asked.some((url) => url.endsWith('/openapi.json')), asked.join())
    await page.close()
  }
}
