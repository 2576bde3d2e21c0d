/* rag/lists: the lists of words that a search must not take for a subject. Constant data.
 * Grammar words ("what", "is": memory/grammar.c) weigh nothing, words of asking and of talking about the talk ("remind",
 * "repeat", "notes") next to nothing. Everyday words ("time", "write", "good") may be what is asked for, but
 * finding one of them in a passage says little: rag.h gives their prior. Written for this project by topic: verbs of
 * asking, time, people, home, food, weather, feelings, school, counting, places, arts. */
#include "rag/lists.h"

#include <stddef.h>

const char *const rag_asking_words[] = {
    /* asking */
    "ask asked say says said tell told remind reminded reminder remember recall forget forgot forgotten know knows knew wonder wondering ",
    "curious mention mentioned explain describe show give gave let answer answers reply question questions help want wants wanted need needs ",
    "needed like please kindly maybe possibly exactly actually currently usually roughly briefly quickly anyway supposed happen happens ",
    "look looks looked looking find found search searched check checked note notes wrote written noted memory info information detail ",
    "details idea time called back goes go going guess think thinks thought mean means meant understand sure certain anyway ",
    /* talking about the talk */
    "repeat again rewrite another same try anyway other ",
    /* russian */
    "скажи скажите сказать сказал говорил говорила расскажи расскажите рассказать подскажи подскажите напомни напомните напомнить помню помнишь помните вспомни ",
    "забыл забыла забываю знаю знаешь знаете знать узнать интересно интересует объясни объясните объяснить опиши покажи покажите показать дай дайте ",
    "ответ ответы ответь ответить вопрос вопросы спросить помоги помогите помочь хочу хотел хотела хочется нужен нужна нужны пожалуйста ",
    "возможно точно примерно вообще обычно кстати наверное кажется думаю думаешь значит означает понял поняла понять посмотри посмотрите найди ",
    "найдите найти искать поищи проверь проверить заметка заметки заметках записано записал записала записать написано написал память информация подробнее ",
    "повтори повторите повторить снова еще продолжай продолжайте продолжить дальше напиши напишите написать перепиши пример примеры иначе ",
    "попробуй сделай сделайте сделать", NULL};

const char *const rag_pointing_words[] = {
    "it its it's that that's this these those they them their theirs he him his she her hers there then one ones same former latter again ",
    "это этот эта эти этого этой этому этом этим этих тот та те того той тому том тем тех он она оно они его ее их ему ей им него нее них ним ней нем ",
    "там туда оттуда тогда такой такая такие снова опять еще", NULL};

const char *const rag_going_on_words[] = {"and but also or then а и но или тогда", NULL};

const char *const rag_polite_words[] = {
    "thanks thank ok okay great cool nice perfect hello hi hey bye good you your yours ",
    "спасибо хорошо понятно ясно привет ладно отлично здравствуй здравствуйте пока благодарю ты тебя тебе твой твое вы вас вам", NULL};

const char *const rag_everyday_words[] = {
    /* what is done with things, how they are */
    "arrive brought kept held sent receive sold paid treat met lead led grew broke repair clean wash fill ",
    "heavy weigh deep dry wet dirty expensive soft quiet loud variety amount bottom front inside outside ",
    "responsible due belong stand stood lie lay hang hung sit sat ",
    "приходит придет придут пришел пришла уйти уходит ушел входит войти вошел выходит выйти вышел ",
    "проходит пройти прошел подойти подходит переехать доехать приехать приезжает уехать принести ",
    "приносит берет брал давать дает сдать сдавать получить получает отправить отправлять послать ",
    "прислать покупать платить заплатить лежит лежат висит сидит сидеть живет жил поставить ставить ",
    "посадить сажать вырастить строить починить чинить поменять сменить мыть чистить заливать налить ",
    "открыть открывать закрыть закрывать включить выключить начинается кончается заканчивается ",
    "встречаться предупредить предупреждать сообщить сообщать позвонить звонить отвечает тяжелый широкий ",
    "узкий поздний горячий холодный теплый сухой мокрый грязный дешевый дорогой твердый мягкий сорт ",
    "количество кусок сторона верх низ весит стоимость фирма марка ",
    /* asking, saying, doing */
    "longer longest shorter shortest длиннее короче ",
    "answer ask say says said tell told talk speak explain describe show give gave given take took make made makes write ",
    "wrote written read list name call called find found help need needs want wants like likes think thought know known ",
    "knows mean means meaning understand learn teach use used uses using work works worked try start begin began stop end ",
    "finish keep put set go goes going went gone come came see saw seen look looks watch hear heard listen feel felt ",
    "become happen happens change changes move run turn open close bring leave left live lives lived stay play played win ",
    "lose pay buy bought sell cost send meet follow create build built choose compare recommend suggest advise plan ",
    "prepare improve fix solve check translate summarize summarise rewrite correct invent imagine guess remember forget ",
    "believe hope wish love hate enjoy prefer decide discuss convert calculate count add multiply divide define spell ",
    /* time and number */
    "time times day days today tomorrow yesterday night morning evening afternoon week weekend month year years hour ",
    "minute second moment date monday tuesday wednesday thursday friday saturday sunday january february march april june ",
    "july august september october november december spring summer autumn fall winter season birthday holiday christmas ",
    "first last next early late new old young long short big small large little great good better best bad worse worst ",
    "nice fine high low fast slow quick easy hard simple difficult important interesting different same right wrong true ",
    "false real sure possible free full empty hot cold warm cool number two three four five six seven eight nine ten ",
    "hundred thousand million half part piece sum total average percent ",
    /* people and home */
    "man men woman women people person child children kid kids boy girl baby friend friends family mother father mom dad ",
    "parent parents brother sister son daughter wife husband neighbor teacher student doctor boss team group name age ",
    "home house room door window kitchen bed table chair garden street road city town village country state nation world ",
    "earth place way side area north south east west capital president king queen government law war peace history ",
    "language english french german spanish russian chinese japanese france germany russia england america europe asia ",
    "africa china japan italy spain india london paris moscow berlin rome ",
    /* body, food, weather, nature */
    "head hand eye face hair heart body health sleep tired sick pain eat ate food meal breakfast lunch dinner drink water ",
    "coffee tea milk bread egg eggs cheese meat fish chicken rice soup salad cake pie fruit apple sugar salt recipe cook ",
    "cooking bake boil taste weather rain snow wind sun sunny moon star stars sky sea ocean river lake mountain forest ",
    "tree flower grass animal animals dog cat bird horse color colour red green blue white black yellow light dark fire ",
    "air planet planets space ",
    /* feelings, arts, school, work */
    "happy sad angry afraid funny joke story stories poem poetry poet song music book books novel movie film game games ",
    "sport sports football art artist paint painting picture photo letter email message word words sentence paragraph text ",
    "title page line essay haiku limerick riddle quote fact facts idea ideas question questions problem example examples ",
    "reason thing things stuff kind type sort way ways school class lesson university college exam homework science math ",
    "mathematics physics chemistry biology geography computer internet phone website online program programming code job ",
    "money price business company office meeting interview career market shop store travel trip vacation visit hotel ",
    "car bus train plane bike life death god mind soul brain dream news topic advice tip tips opinion difference ",
    "introduction conclusion author famous popular favorite favourite beautiful healthy step steps model chat assistant ai ",
    /* what talk and a program's manual share */
    "act add alone already always another apart appear away back bar base beyond branch break budget busy carry chance ",
    "character cheap choice command complete continue control conversation copy cut damage day default delete depend desk ",
    "disk distant document double draw drop dull earlier edit effect energy enough enter equal event exact expect factor ",
    "fall far fast feed few file fit floor fold folder follow form format function future gate general global grow growth ",
    "hidden hold human increase information instruction join key kill knowledge land large law least length less level ",
    "load lose lost lower machine manual map mark material matter maximum measure middle minimum mistake mix modern ",
    "natural nature near network never newest note object occur oldest order original output own owner pace pair panel ",
    "past path pause period pick pin pipe plant point policy position positive power practice present press previous ",
    "print probable process product program progress project proof quality race raise random range rare rate reach record ",
    "reduce refuse relation remain remove repeat report research rest result review rich rise root row rule safe save ",
    "scale science score screen search seed send sentence series service several shape share shift short sign single size ",
    "skill sleep social society source speed square stable stage standard state status stay stick storm strange strength ",
    "stretch string strong structure studio study subject success surprise switch system table tall task test theory ",
    "thick thin tool top touch touches track trade train trouble turn unit usual value version view voice volume wait walk ",
    "wall watch wave weak weight wheel whole wide width wise wonder solar gravity leap largest smallest biggest ",
    /* russian: asking, saying, doing */
    "ответь ответ спросить сказать скажи говорить расскажи рассказать объясни объяснить опиши описать покажи показать дай ",
    "дать возьми взять сделай сделать делать напиши написать писать прочитай читать назови назвать перечисли найди найти ",
    "помоги помочь помощь хочу хотеть хочешь нравится думать думаешь знать знаешь значит означает значение понимать понять ",
    "учить научить выучить использовать работать работает начать закончить идти пойти прийти видеть смотреть слушать ",
    "чувствовать стать случилось менять играть купить продать стоить встретить создать построить выбрать сравни сравнить ",
    "посоветуй посоветовать предложи предложить приготовить готовить исправь решить реши проверь переведи перевести ",
    "перескажи придумай представь помнить вспомни забыть верить надеяться любить ненавидеть посчитай сложи умножь ",
    /* russian: time, number, qualities */
    "время раз день дни дней сегодня завтра вчера ночь утро утром вечер вечером неделя месяц год года лет час минута ",
    "секунда понедельник вторник среда четверг пятница суббота воскресенье весна лето осень зима весне лете осени зиме ",
    "праздник рождение новый старый молодой длинный короткий большой маленький хороший хорошо лучший плохой плохо красивый ",
    "высокий низкий быстро медленно легко легкий трудный сложный простой просто важный интересный разный правильно ",
    "правда первый второй третий четвертый пятый последний следующий число два три четыре пять шесть семь восемь девять десять сто тысяча половина часть ",
    /* russian: people, home, nature, food */
    "человек люди людей мужчина женщина ребенок дети детей мальчик девочка друг друзья семья мама папа мать отец брат ",
    "сестра сын дочь муж жена учитель врач имя зовут дела дом комната дверь окно кухня стол улица город страна мир земля ",
    "место столица президент король правительство война история язык русский английский французский немецкий россия ",
    "франция германия англия америка европа китай япония москва париж лондон голова рука глаз лицо сердце тело здоровье ",
    "спать сон еда есть обед завтрак ужин вода кофе чай молоко хлеб яйцо яйца сыр мясо рыба рис суп салат торт пирог ",
    "яблоко сахар соль рецепт погода дождь снег ветер солнце луна звезда звезды небо море океан река озеро гора лес дерево ",
    "цветок трава животное собака кошка кот птица цвет красный зеленый синий голубой белый черный желтый свет планета ",
    "космос огонь воздух ",
    /* russian: feelings, arts, school, work */
    "счастье грустно смешной анекдот шутка шутку рассказ сказка стих стихи стихотворение поэт песня музыка книга книги роман ",
    "фильм кино игра спорт футбол картина фото письмо слово слова предложение текст название страница строка идея вопрос ",
    "задача пример причина вещь дело вид способ школа урок университет экзамен наука математика физика химия биология ",
    "компьютер интернет телефон сайт программа работа деньги цена компания магазин поездка путешествие отпуск машина ",
    "автобус поезд самолет жизнь смерть бог душа мозг мечта новость тема совет мнение разница автор известный любимый ",
    /* russian: what talk and a program's manual share */
    "близко далеко больше меньше быстрее беда важно вид вместе внимание возможность возвращать вопрос выбор выше ниже ",
    "группа движение действие делить добавить документ должен доля живой жить закон занимать заранее затем знак значение ",
    "изменение имя интерес искать история класс ключ команда копия корень любой масса медленно место мало машина ",
    "наверное найденное наука находится начало небольшой ничто номер норма нужно обычно одинаковый окно основа оставить ",
    "отличие ошибка память папка пара первый передача писать печать план показать поиск полный половина помнить понятие ",
    "порядок последний поток появление правило предел прежний принцип природа причина продолжить происхождение процесс ",
    "прошлый пустой путь развитие размер разница ранее растение растет расти редкий результат река род рост сам свет ",
    "свобода связь сейчас сила сильный система скорость скрытый слабый случай снова событие содержание создание состояние ",
    "список способность среда средний сравнение старый столько структура счет температура тип точно точность удалить ",
    "управление уровень условие участие файл форма хранить цель часто число член шаг ширина экран эффект похудеть быстро ",
    "лежать положить стоять висеть хватать держать взять отдать класть двигать тянуть резать вариться ",
    "энергия явление являться обучение",
    "модель чат помощник", NULL};
