"""Words with which some thirty languages declare, deny and join answers, as parts of regular expressions.

English stands in `letters.py`, where its patterns are finer. A word too many costs nothing here as long as it only
counts beside a lone letter; a denial too few would read the opposite of what a reply says.
"""

from __future__ import annotations

import unicodedata


def _any(words: str) -> str:
    """Return a pattern of any of the words, which are separated by bars, longest first."""
    words = unicodedata.normalize("NFKC", words)  # as replies are: Thai has letters that it takes apart
    return "(?:" + "|".join(sorted((word.strip() for word in words.split("|")), key=len, reverse=True)) + ")"


# "answer", "option", "choice", "letter", where words are set apart by blanks
NOUN = _any(
    "respuesta|opción|opcion|alternativa|letra|elección|réponse|reponse|choix|lettre|antwort|buchstabe|"
    "möglichkeit|auswahl|resposta|opção|opcao|risposta|opzione|lettera|scelta|antwoord|optie|keuze|svar|svaret|svarið|"
    "alternativ|alternativet|valg|vastaus|vaihtoehto|vastus|odpowiedź|odpowiedz|odpowiedzią|opcja|odpověď|odpoveď|"
    "možnost|válasz|opció|răspuns|răspunsul|varianta|opțiunea|cevap|cevabı|cevabım|yanıt|yanıtı|seçenek|şık|đáp án|"
    "câu trả lời|lựa chọn|phương án|jawaban|jawabannya|jawapan|jawapannya|pilihan|opsi|ответ|ответом|вариант|буква|"
    "відповідь|варіант|отговор|отговорът|одговор|odgovor|απάντηση|επιλογή|jibu|sagot|atbilde|atsakymas|erantzuna|"
    "उत्तर|जवाब|विकल्प|উত্তর|বিকল্প|பதில்|సమాధానం|જવાબ|ਜਵਾਬ|الإجابة|الاجابة|إجابة|الجواب|"
    "الخيار|اختيار|جواب|پاسخ|گزینه|جواب|התשובה|תשובה|אפשרות|คำตอบ|ข้อ|ตัวเลือก|жауап|պատասխանը|პასუხია|መልሱ"
)
# "not"
NOT = _any(
    "no es|no|ne|n'est pas|pas|nicht|kein|keine|keinesfalls|non|não|nao|niet|geen|inte|ikke|ei ole|ei|nie|není|nem|nu|"
    "bukan|tidak|không phải|không|не|ні|δεν|jibu si|hindi|नहीं|না|ليست|ليس|لا|אינה|אינו|לא|نیست|ไม่ใช่|ไม่|değil|"
    "falsche|falsch|incorrecta|incorrecto|incorrecte|fausse|mauvaise|sbagliata|errata|errada|incorreta|błędna|"
    "неправильный|неверный|неправильна|yanlış|sai|salah|onjuiste|fel|forkert|väärä|špatná|गलत|ভুল|الخاطئة|خطأ|غلط"
)
OR = _any(  # "or", "and", between two letters
    "o|ou|oder|of|eller|tai|lub|albo|nebo|vagy|sau|veya|ya da|hoặc|hay|atau|или|або|ή|au|y|e|et|und|en|och|og|ja|i|és|"
    "și|ve|và|dan|и|і|та|και|na|या|और|অথবা|এবং|أو|او|یا|و|או|หรือ|และ|或|或者|还是|還是|和|与|與|及|または|か|と|또는|와|과|"
    "vel|ni|nor|versus|vs|v"
)
BUT = _any(  # "but" as in "not A, but B"
    "sino|sondern|bensì|senão|mas sim|mais|maar|utan|vaan|hanem|melainkan|tetapi|mà là|а|но|ma|mas|але|αλλά|lecz|ale"
)
RIGHT = _any(  # "B is right", after the letter
    "correcta|correcto|correct|correcte|juste|bonne|richtig|korrekt|corretta|corretto|giusta|correta|correto|certa|"
    "juist|goed|rätt|riktigt|riktig|rigtig|oikein|oikea|poprawna|prawidłowa|správně|správná|helyes|corect|corectă|"
    "doğru|doğrudur|đúng|benar|betul|правильный|правильно|верно|верный|правильна|σωστή|σωστό|सही|সঠিক|صحيحة|الصحيحة|"
    "صحيح|درست|נכונה|ถูกต้อง|ถูก"
)
BE = _any(
    "es|est|ist|è|é|is|är|er|on|jest|to|je|este|là|adalah|ialah|είναι|ni|हैं|है|হল|هي|هو|היא|הוא|คือ|เป็น|lautet|wäre|"
    "sería|serait|sarebbe|seria|be|sería|yra|ir|és|da|ay"
)
IT_IS = _any("c'est|ist|es la|é a|è la|è|это|det är|det er|het is|se on|to jest|je to|itu adalah|là")
# Scripts without blanks: normalization sets one at each side of a Latin letter.
CJK_NOUN = (
    "(?:答案|答え|正解|解答|回答|正答|选项|選項|选择|選擇|選択肢|选|選|本题|本題"
    "|结论|結論|정답|답변|답|선택지|선택|보기|해답)"
)
CJK_NOT = "(?:不是|不选|不選|不应|不應|不能|不可能|不会|不會|并非|並非|而非|非|不|排除|아닌|틀린)"
CJK_BETWEEN = "[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{0,12}"
CJK_AFTER_NOT = (  # "A is wrong", "it is not A"
    r"(?:选项|選項|项|項|選択肢|번)?\s?(?:是|は|가|이|은|는)?\s?(?:(?:[也都]?(?:明显|明顯|显然|顯然)?(?:是)?)?"
    r"(?:错|錯|不正确|不正確|不对|不對|不符|排除)|"
    r"(?:では|じゃ)?(?:なく|ない|ありません)|間違|誤り|아니|아닙|틀렸|틀린|오답)"
)
CJK_RIGHT = (
    r"(?:选项|選項|项|項|選択肢|번|番)?\s?(?:是|为|為|が|は|가|이|은|는)?\s?(?:正确|正確|对|對|正解|正しい|정답|맞|옳)"
)
CJK_BUT = "(?:而是|应该是|應該是|应为|應為|应是)"
